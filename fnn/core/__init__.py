"""The core: abstract values, arrays and tracers, the intermediate representation, primitives.

Modules, each importing only those before it:

source     where in the user's program          aval       shape, dtype, weak type (interned)
array      Array and concrete arrays            ir         Var, Literal, Equation, Graph
trace      Tracer, Trace, Stage                 lowering   the ways a primitive becomes loops
primitive  Primitive, its registry, Sample      printer, checker, drawing   readers of graphs
"""
