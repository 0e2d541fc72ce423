// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// LSTM, GRU and plain RNN classifiers, on feature sequences or on token ids, with torch.nn's keys. Written
/// from a description (no public reference implementation): parity is with a reimplementation on torch.nn.
Family rnn_classifier();

/// The AG-News text classifier that DepGraph prunes (arXiv 2301.12900): two single-layer bidirectional LSTMs
/// and two linear layers without an activation between them. Sequence first, full lengths.
Family agnews_lstm();

}  // namespace pollard::models
