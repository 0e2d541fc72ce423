// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

// Classifiers around torch.nn.TransformerEncoder with sinusoidal positions (key pos_encoder.pe, persistent). Written
// from descriptions (no public reference implementation): parity is with a reimplementation on torch.nn.

/// On a sequence of features or of token ids, sequence first; reads the last position.
Family transformer_model();
/// A strided convolutional stem whose positions become the tokens; mean over tokens.
Family cnn_transformer();
/// A recurrent network before the encoder; reads the last position.
Family rnn_transformer();

}  // namespace pollard::models
