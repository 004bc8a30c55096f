"""The compiled core: what a network computes, how it is cut into work for threads, and the loop of training steps.

This file is the table of contents. The files below are included in reading order; each begins with what it is about.

**What is computed.** A `Plan` is a list of operations, each a dense layer Z = A_prev W + b, A = f(Z), and the place of
its parameters in one vector. A `Layout` decides how a plan is computed for a number of rows: it cuts the work into a fixed
grid of tiles, chooses kernels and the kind of step, and gives every buffer its place in one block of memory.

**Who computes.** A `Run` owns that memory, and the data of a call: a `Setup`, which is constant and shared, and one `Job` for
each member of a team of threads (`core/team.h`). Member 0 is the thread that called. All members run the same code, each on
its share of the tiles, and meet at barriers.

**A training step** is one of three kinds; the sizes of network and batch decide which. The tiled step is the general one:

    phase 1, rows      for each tile of rows, through all layers: forward, the loss and its gradient, backward
    phase 2, weights   for each tile of a weight matrix: dW = A_prev' dZ over all rows of the batch, then the update

The replicated step, for networks of few parameters, gives each member a copy of all parameters and needs one barrier instead
of two. The feature-major step, for tiny networks, has one member and examples in columns. The first layer of a sparse X is a
sparse product in all of them that can read one (`core/sparse.pxi`).

**The arithmetic** is in C, in `core/kernels`: matrix products in gemm_nn.h, gemm_nt.h and gemm_tn.h (BLAS computes products
on an instruction set for which there are none), everything else beside them, each compiled once per instruction set and
precision. The .pxi files decide addresses and order only. Below `nogil` nothing allocates and no Python object is touched.
Arguments are validated by the callers (`network.py`, `training/`); here only as far as memory safety needs it.

**The same bits.** The grid is a function of shapes, precision, instruction set and BLAS. Sums over tiles are taken in the
order of the tiles. So neither the number of threads, nor which member computes a tile, nor where a run is cut into calls
changes a bit of the result.
"""

import os
import sys
from collections import namedtuple

import numpy as np

from . import _threads as threads

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.math cimport INFINITY, fabs, isfinite, sqrt
from libc.stdint cimport int32_t, int64_t, uint64_t, uint8_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cnp.import_array()

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

# What there is
include "core/machine.pxi"    # the kernels, the tables of names, the instruction sets, the BLAS
include "core/plan.pxi"       # Plan: what is computed
include "core/layout.pxi"     # Layout: how; the grid of tiles, the buffers, the kind of step
include "core/job.pxi"        # Setup, Shared, Job: the data of a run

# What is done with rows and with weights
include "core/forward.pxi"    # products, bias, activation, dropout, loss
include "core/backward.pxi"   # from dZ of the last layer to dZ of the first; W'
include "core/sparse.pxi"     # the first layer of a sparse X, forward and backward
include "core/update.pxi"     # a tile of dW, and the optimizer on it

# A step
include "core/step_tiled.pxi"          # the general kind: two phases, two barriers
include "core/step_replicated.pxi"     # few parameters: every member updates a copy of its own, one barrier
include "core/step_feature_major.pxi"  # tiny networks: examples in columns, one member
include "core/steps.pxi"               # the steps of a chunk

# What Python calls
include "core/arguments.pxi"    # arrays, sparse matrices, groups of arguments
include "core/run.pxi"          # Run: memory, teams, the arrays of a call
include "core/passes.pxi"       # predict, losses, forward, backward, cost_and_gradient
include "core/small_batch.pxi"  # SmallBatchPredictor: a few rows in microseconds
include "core/throttle.pxi"     # Throttle: how many members take part in the next steps
include "core/trainer.pxi"      # Trainer: chunks of steps
include "core/functions.pxi"    # one update, checks, the layer of the course, element-wise functions
