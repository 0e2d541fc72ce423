// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// Pathformer, a forecaster that routes each series to experts of several patch sizes (Chen et al., 2024, arXiv
/// 2402.05956). Input [B, S, N]; outputs the forecast [B, P, N] and the routers' balance loss.
///
///     z = Linear_N(r + season(r) + trend(r))      r: the first channel [B, S, N]
///     gates = softmax over the k largest of Linear_S(z), 0 elsewhere
///     out = log(sum_e gates_e exp(expert_e(x))) (+ x)
///
/// Season: the three strongest frequencies; trend: a mix of three moving averages. Every expert runs and the gates
/// mask those not chosen, so that one program serves inputs that are routed differently. Routing has no noise, in
/// training neither. Goldens: the authors' code run in eval mode.
Family pathformer();

}  // namespace pollard::models
