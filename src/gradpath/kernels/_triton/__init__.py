"""Passes in Triton, for a GPU. Triton is imported, and kernels are compiled, at the first call and not before.

They are right in Triton's interpreter (TRITON_INTERPRET=1, on the CPU) and compile for GPUs, but have not been measured
on one yet. So nothing chooses them by itself: backend 'auto' never does, 'triton' has to be asked for.
`bench/gpu.py` checks and times them where there is a GPU.
"""
