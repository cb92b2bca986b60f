"""Monte Carlo tree search in the manner of MuZero (Schrittwieser et al., 2020): a while loop descends, a scan simulates, a
while loop backs values up, and vmap searches many positions at once. The game: reach a sum that is a multiple of seven."""

import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax, random

ACTIONS, SIMULATIONS, DISCOUNT = 3, 24, 0.95
NODES = SIMULATIONS + 1


class Tree(NamedTuple):
    """A search tree in arrays."""

    state: jax.Array  # [NODES] embeddings
    visits: jax.Array  # [NODES]
    value: jax.Array  # [NODES] running means
    reward: jax.Array  # [NODES] of the step into it
    children: jax.Array  # [NODES, ACTIONS], -1 where there is none
    parent: jax.Array  # [NODES]
    prior: jax.Array  # [NODES, ACTIONS]


def model(state, action):
    new = (state * (action + 2) + action) % 101
    return new, jnp.where(new % 7 == 0, 1.0, 0.0)


def evaluate(state):
    """A fixed network: a prior over actions and a value."""
    features = jnp.sin(state * jnp.arange(1.0, 5.0) * 0.37)
    weights = jnp.cos(jnp.arange(16.0)).reshape(4, 4)
    out = jnp.tanh(features @ weights)
    return jax.nn.softmax(out[:ACTIONS]), out[ACTIONS]


def scores(tree, node):
    """PUCT over a node's actions."""
    child = tree.children[node]
    known = child >= 0
    visits = jnp.where(known, tree.visits[child], 0)
    value = jnp.where(known, tree.reward[child] + DISCOUNT * tree.value[child], 0.0)
    explore = tree.prior[node] * jnp.sqrt(tree.visits[node]) / (1 + visits)
    return value + 1.25 * explore


def descend(tree):
    def inside(carry):
        _, _, child = carry
        return child >= 0

    def body(carry):
        _, _, child = carry
        action = jnp.argmax(scores(tree, child))
        return child, action, tree.children[child, action]

    root_action = jnp.argmax(scores(tree, 0))
    node, action, _ = lax.while_loop(inside, body, (jnp.int32(0), root_action, tree.children[0, root_action]))
    return node, action


def back_up(tree, node, value):
    def unfinished(carry):
        return carry[1] >= 0

    def body(carry):
        tree, node, value = carry
        count = tree.visits[node] + 1
        mean = tree.value[node] + (value - tree.value[node]) / count
        tree = tree._replace(visits=tree.visits.at[node].set(count), value=tree.value.at[node].set(mean))
        return tree, tree.parent[node], tree.reward[node] + DISCOUNT * value

    return lax.while_loop(unfinished, body, (tree, node, value))[0]


def simulate(tree, index):
    node, action = descend(tree)
    state, reward = model(tree.state[node], action)
    prior, value = evaluate(state)
    tree = tree._replace(
        state=tree.state.at[index].set(state),
        reward=tree.reward.at[index].set(reward),
        children=tree.children.at[node, action].set(index),
        parent=tree.parent.at[index].set(node),
        prior=tree.prior.at[index].set(prior),
    )
    return back_up(tree, index, value), None


def search(key, state):
    prior, value = evaluate(state)
    noise = random.exponential(key, (ACTIONS,))
    prior = 0.75 * prior + 0.25 * noise / noise.sum()
    tree = Tree(
        state=jnp.zeros(NODES, jnp.int32).at[0].set(state),
        visits=jnp.zeros(NODES, jnp.int32).at[0].set(1),
        value=jnp.zeros(NODES).at[0].set(value),
        reward=jnp.zeros(NODES),
        children=jnp.full((NODES, ACTIONS), -1, jnp.int32),
        parent=jnp.full(NODES, -1, jnp.int32),
        prior=jnp.zeros((NODES, ACTIONS)).at[0].set(prior),
    )
    tree, _ = lax.scan(simulate, tree, jnp.arange(1, NODES, dtype=jnp.int32))
    children = tree.children[0]
    visits = jnp.where(children >= 0, tree.visits[children], 0)
    return visits, tree.value[0], tree.visits.max()


def main():
    states = jnp.arange(1, 33)
    visits, values, most = jax.jit(jax.vmap(search))(random.split(random.PRNGKey(0), 32), states)
    _, rewards = jax.vmap(model)(states, visits.argmax(-1))
    return {
        "visits": int(visits.sum()),
        "spread": int((visits**2).sum()),
        "value": float(values.mean()),
        "most": int(most.max()),
        "reached": float(rewards.sum()),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
