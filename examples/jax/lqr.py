"""The linear-quadratic regulator: Riccati's recursion as a reverse scan, gains checked against the gradient of the cost,
and iLQR (Li and Todorov, 2004) for a pendulum, whose linearisations are jacobians."""

import json

import jax
import jax.numpy as jnp
from jax import lax

HORIZON = 40


def riccati(A, B, Q, R):
    """Gains for the steps of a horizon; A, B: one matrix for each step."""

    def back(P, given):
        A, B = given
        gain = jnp.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)
        return Q + A.T @ P @ (A - B @ gain), gain

    return lax.scan(back, Q, (A, B), reverse=True)


def pendulum(x, u):
    return x + 0.05 * jnp.array([x[1], -9.8 * jnp.sin(x[0]) - 0.1 * x[1] + u[0]])


def run(controls, start):
    def step(x, u):
        new = pendulum(x, u)
        return new, new

    return jnp.concatenate([start[None], lax.scan(step, start, controls)[1]])


def cost(controls, start):
    xs = run(controls, start)
    away = xs - jnp.array([jnp.pi, 0.0])
    return 10 * (away[-1] ** 2).sum() + 0.1 * (away**2).sum() + 0.01 * (controls**2).sum()


@jax.jit
def improve(controls, start):
    """One iteration: a quadratic model along the path, its solution tried at several step lengths."""
    xs = run(controls, start)
    A = jax.vmap(jax.jacobian(pendulum, 0))(xs[:-1], controls)
    B = jax.vmap(jax.jacobian(pendulum, 1))(xs[:-1], controls)
    away = xs - jnp.array([jnp.pi, 0.0])

    def back(carry, given):
        V, v = carry
        A, B, x, u = given
        Qu = 0.02 * u + B.T @ v
        Quu = 0.02 * jnp.eye(1) + B.T @ V @ B + 1e-3 * jnp.eye(1)
        Qux = B.T @ V @ A
        k, K = -jnp.linalg.solve(Quu, Qu), -jnp.linalg.solve(Quu, Qux)
        v = 0.2 * x + A.T @ v + Qux.T @ k
        return (0.2 * jnp.eye(2) + A.T @ V @ A + Qux.T @ K, v), (k, K)

    end = 20.2 * jnp.eye(2), 20.2 * away[-1]
    _, (k, K) = lax.scan(back, end, (A, B, away[:-1], controls), reverse=True)

    def follow(length):
        def step(x, given):
            old, u, k, K = given
            u = u + length * k + K @ (x - old)
            return pendulum(x, u), u

        return lax.scan(step, start, (xs[:-1], controls, k, K))[1]

    tried = jax.vmap(follow)(0.5 ** jnp.arange(8.0))
    costs = jax.vmap(cost, (0, None))(tried, start)
    best = jnp.argmin(costs)
    return jnp.where(costs[best] < cost(controls, start), tried[best], controls)


def main():
    dt = 0.1
    A = jnp.broadcast_to(jnp.array([[1.0, dt], [0.0, 1.0]]), (HORIZON, 2, 2))
    B = jnp.broadcast_to(jnp.array([[0.0], [dt]]), (HORIZON, 2, 1))
    Q, R, start = jnp.eye(2), 0.1 * jnp.eye(1), jnp.array([1.0, 0.0])
    P, gains = jax.jit(riccati)(A, B, Q, R)

    def total(gains):
        def step(x, given):
            A, B, gain = given
            u = -gain @ x
            return A @ x + B @ u, x @ Q @ x + u @ R @ u

        last, costs = lax.scan(step, start, (A, B, gains))
        return costs.sum() + last @ Q @ last

    slope = jax.grad(total)(gains)
    controls, x0 = jnp.zeros((60, 1)), jnp.array([0.5, 0.0])
    costs = [float(cost(controls, x0))]
    for _ in range(15):
        controls = improve(controls, x0)
        costs.append(float(cost(controls, x0)))
    return {
        "cost": float(total(gains)),
        "from_riccati": float(start @ P @ start),
        "slope": round(float(jnp.abs(slope).max()), 3),
        "first": costs[0],
        "third": costs[3],
        "last": costs[-1],
    }


if __name__ == "__main__":
    print(json.dumps(main()))
