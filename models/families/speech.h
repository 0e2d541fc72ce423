// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// The voice activity detector of silero-vad 6, keys as in its safetensors file. A frame is 64 samples of context and
/// 512 new ones at 16 kHz; [B, T, 576] frames in order give T probabilities of speech:
///
///     |STFT| -> four convolutions with ReLU -> LSTM over the frames -> ReLU -> 1x1 convolution -> sigmoid
///
/// The package runs frame by frame and carries the LSTM's state; here the whole sequence is one call from a state of
/// zeros. Checked with the published weights: bench/recurrent_real_weights.py.
Family silero_vad();

/// Resemblyzer's speaker encoder (generalised end-to-end loss, Wan et al., 2018, arXiv 1710.10467): three LSTM layers
/// over mel frames [B, T, 40], the last layer's final state through a linear layer and ReLU, scaled to length 1.
/// The published file keeps the weights under --key model_state. Checked with them in the same script.
Family voice_encoder();

}  // namespace pollard::models
