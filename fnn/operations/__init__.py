"""Operations on arrays as people mean them: operands of any dtypes and shapes meet by promotion and broadcasting.

Primitives are strict; everything between them and a person's fingers is here. The operators and methods of arrays
(`fnn.array`) and the functions of `fnn.numpy` are these functions.
"""
