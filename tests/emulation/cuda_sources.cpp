// SPDX-License-Identifier: Apache-2.0
// The CUDA sources, compiled for the emulator: the text nvcc gets.
#include "tests/emulation/emulator.h"

#include "kernels/cuda/cascaded_attention.cu"
#include "kernels/cuda/focused_attention.cu"
#include "kernels/cuda/masked_attention.cu"
#include "kernels/cuda/mlstm.cu"
#include "kernels/cuda/monarch.cu"
#include "kernels/cuda/power_sums.cu"
#include "kernels/cuda/recurrence.cu"
#include "kernels/cuda/recurrence_bf16.cu"
#include "kernels/cuda/slice_rows.cu"
