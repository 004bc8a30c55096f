"""The compiled core: what a network computes, how the work is divided among threads, and the loop of training steps.

This file is the table of contents. The files below are included in reading order; each begins with a summary of its subject.

**What is computed.** A `Plan` is a list of operations. Each operation is a dense layer, Z = A_prev W + b and A = f(Z), and
knows where its parameters begin in the one vector of all parameters. A `Layout` decides how a plan is computed for a given
number of rows: it cuts the work into a fixed grid of tiles, chooses the kernels and the kind of step, and assigns every
buffer its place in one block of memory.

**Who computes.** A `Run` owns that memory and the data of a call: a `Setup`, which is constant and shared, and one `Job` for
each member of a team of threads (`core/team.h`). Member 0 is the calling thread. All members run the same code, each on its
share of the tiles, and meet at barriers.

**A training step** is of one of three kinds; the sizes of the network and of the batch decide which. The tiled step is the
general one:

    phase 1, rows      for each tile of rows, through all layers: forward, the loss and its gradient, backward to dZ
    phase 2, weights   for each tile of a weight matrix: dW = A_prev' dZ over all rows of the batch, then the update

The replicated step is for networks with few parameters: each of two members has a copy of all parameters, and a step has one
barrier instead of two. The feature-major step is for tiny networks: one member computes it, with examples in columns. A
sparse X is read by tiled steps only; its first layer is a sparse product (`core/sparse.pxi`).

**The arithmetic** is in C, in `core/kernels`, compiled once per instruction set and precision. Matrix products are in
gemm_nn.h, gemm_nt.h and gemm_tn.h; the baseline instruction set has none of its own and uses BLAS. The .pxi files only
decide addresses and order. Code marked `nogil` allocates nothing and touches no Python object, except where it takes
the GIL to run signal handlers or a custom loss. The callers (`network.py`, `training/`) validate arguments; the core
checks only what memory safety depends on.

**The same bits.** The grid is a function of the shapes, the precision, the instruction set and the BLAS. Sums over tiles are
added in the order of the tiles. Therefore neither the number of threads, nor which member computes a tile, nor where a
training is divided into calls changes a bit of the result.
"""

import os
import sys
from collections import namedtuple

import numpy as np

from . import _threads as threads

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetInterrupt
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.math cimport INFINITY, NAN, fabs, isfinite, sqrt
from libc.stdint cimport int32_t, int64_t, uint64_t, uint8_t, uintptr_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cnp.import_array()

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

# The vocabulary: kernels, plans, layouts, jobs
include "core/machine.pxi"    # the kernels, the tables of names, the instruction sets, the BLAS
include "core/plan.pxi"       # Plan: what is computed
include "core/layout.pxi"     # Layout: how it is computed: the grid of tiles, the buffers, the kind of step
include "core/job.pxi"        # Setup, Shared, Job: the data of a run

# The parts of a step: work on rows, work on weights
include "core/forward.pxi"    # products, bias, activation, dropout, loss
include "core/backward.pxi"   # from dZ of the last layer to dZ of the first; W'
include "core/sparse.pxi"     # the first layer of a sparse X, forward and backward
include "core/update.pxi"     # a tile of dW, and the optimizer on it

# The three kinds of step
include "core/step_tiled.pxi"          # the general kind: two phases, two barriers
include "core/step_replicated.pxi"     # few parameters: every member updates its copy of them, one barrier
include "core/step_feature_major.pxi"  # tiny networks: examples in columns, one member
include "core/steps.pxi"               # the steps of a chunk

# The functions and classes that Python calls
include "core/arguments.pxi"    # arrays, sparse matrices, groups of arguments
include "core/run.pxi"          # Run: memory, teams, the arrays of a call
include "core/passes.pxi"       # predict, losses, forward, backward, cost_and_gradient
include "core/small_batch.pxi"  # SmallBatchPredictor: a few rows in microseconds
include "core/table_row.pxi"    # RowEnsemble: one row of a table through several networks
include "core/embed.pxi"        # models for C: the functions behind include/dnn.h
include "core/throttle.pxi"     # Throttle: how many members take part in the next steps
include "core/trainer.pxi"      # Trainer: chunks of steps
include "core/sampling.pxi"     # Bernoulli and normal variables by a counter-based generator
include "core/rbm.pxi"          # RbmTrainer: steps of a restricted Boltzmann machine
include "core/functions.pxi"    # one update, checks, the layer used in the course, element-wise functions
