// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// DGCNN's point-cloud classifier (Wang et al., 2019, arXiv 1801.07829): points [B, 3, N] to class scores. Each of four
/// EdgeConvs looks, for every point, at its k nearest neighbours in the features it was given (the point itself is
/// one of them), convolves [x_j - x_i ; x_i] and keeps the largest answer.
/// Keys: the authors' (`layout` "official": the norms stand as bn1..bn5 and again inside conv1..conv5) or those of the
/// networks DepGraph prunes ("torch-pruning": inside conv1..conv5 only). Goldens: both codes run.
Family dgcnn();

}  // namespace pollard::models
