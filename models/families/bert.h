// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// BERT and MiniLM encoders with transformers' keys, with or without the prefix "bert.", the pooler and the
/// masked-language-model head. Devlin et al., 2018 (arXiv 1810.04805); Wang et al., 2020 (arXiv 2002.10957).
Family bert();

}  // namespace pollard::models
