// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "graph/error.h"
#include "training/data/dataset.h"

namespace pollard::training {

Sample InMemory::read(std::int64_t index) const {
  Sample sample;
  for (const at::Tensor& input : inputs_) sample.inputs.push_back(input.select(0, index));
  if (target_.defined()) sample.target = target_.select(0, index);
  return sample;
}

void bad_sample(const std::string& subject, const std::string& message) {
  throw UserError({.code = "E0398",
                   .exit = Exit::BadFile,
                   .subject = subject,
                   .message = message,
                   .where = {},
                   .why = "the sample is damaged; nothing was trained on it",
                   .help = "mend or remove it, or leave such samples out and count them: --skip-bad"});
}

}  // namespace pollard::training
