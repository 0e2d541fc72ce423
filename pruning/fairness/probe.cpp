// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/probe.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "graph/error.h"
#include "models/data/sentence.h"

namespace pollard::pruning::fairness {
namespace {

/// Batches of token sequences of similar length: sorted by length (ties in order), cut by a budget of tokens.
class SequenceBatches {
 public:
  SequenceBatches(const graph::Program& program, const std::vector<const TokenIds*>& sequences,
                  std::int64_t budget)
      : inputs_(program), sequences_(sequences) {
    std::vector<std::int64_t> order(sequences.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, {}, [&](std::int64_t i) { return at(i).size(); });
    for (const std::int64_t i : order) {
      const auto length = static_cast<std::int64_t>(at(i).size());
      const std::int64_t most = inputs_.fixed_batch().value_or(std::max<std::int64_t>(1, budget / length));
      if (batches_.empty() || std::ssize(batches_.back()) >= most) batches_.emplace_back();
      batches_.back().push_back(i);
    }
  }

  const std::vector<std::int64_t>& members(std::int64_t batch) const {
    return batches_[static_cast<std::size_t>(batch)];
  }
  std::int64_t count() const { return std::ssize(batches_); }
  std::vector<at::Tensor> inputs(std::int64_t batch) const { return inputs_.batch(of(batch)); }
  std::vector<const TokenIds*> of(std::int64_t batch) const {
    std::vector<const TokenIds*> out;
    for (const std::int64_t i : members(batch)) out.push_back(&at(i));
    return out;
  }
  /// Tokens of a row of the batch, padding included.
  std::int64_t length(std::int64_t batch) const { return inputs(batch).front().size(1); }

 private:
  const TokenIds& at(std::int64_t i) const { return *sequences_[static_cast<std::size_t>(i)]; }

  TokenInputs inputs_;
  std::vector<const TokenIds*> sequences_;
  std::vector<std::vector<std::int64_t>> batches_;
};

std::vector<const TokenIds*> ids_of(const std::vector<Scored>& sequences) {
  std::vector<const TokenIds*> out;
  for (const Scored& s : sequences) out.push_back(&s.ids);
  return out;
}
std::vector<const TokenIds*> ids_of(const std::vector<TokenIds>& texts) {
  std::vector<const TokenIds*> out;
  for (const TokenIds& ids : texts) out.push_back(&ids);
  return out;
}

class Likelihood final : public Probe {
 public:
  Likelihood(const graph::Program& program, std::vector<Scored> sequences, std::int64_t tokens)
      : sequences_(std::move(sequences)), batches_(program, ids_of(sequences_), tokens) {
    for (const Scored& s : sequences_)
      POLLARD_CHECK(s.first >= 1 && s.first < std::ssize(s.ids), "a sequence without a token to predict");
  }
  std::int64_t examples() const override { return std::ssize(sequences_); }
  std::int64_t batches() const override { return batches_.count(); }
  std::vector<at::Tensor> inputs(std::int64_t batch) const override { return batches_.inputs(batch); }
  std::vector<std::int64_t> members(std::int64_t batch) const override { return batches_.members(batch); }

  /// The output before a token is what predicts it.
  std::optional<at::Tensor> rows(std::int64_t batch) const override {
    const std::int64_t length = batches_.length(batch);
    std::vector<std::int64_t> out;
    for (std::int64_t b = 0; const std::int64_t i : batches_.members(batch)) {
      const Scored& s = sequence(i);
      for (std::int64_t t = s.first; t < std::ssize(s.ids); ++t) out.push_back(b * length + t - 1);
      ++b;
    }
    return at::tensor(out, at::kLong);
  }

  at::Tensor read(std::int64_t batch, const at::Tensor& output) const override {
    std::vector<std::int64_t> target, owner;
    for (std::int64_t b = 0; const std::int64_t i : batches_.members(batch)) {
      const Scored& s = sequence(i);
      target.insert(target.end(), s.ids.begin() + s.first, s.ids.end());
      owner.insert(owner.end(), static_cast<std::size_t>(std::ssize(s.ids) - s.first), b++);
    }
    const at::Tensor at_target = output.gather(1, at::tensor(target, at::kLong).unsqueeze(1)).squeeze(1);
    const at::Tensor log_probability = at_target.to(at::kDouble) - output.logsumexp({1}).to(at::kDouble);
    return at::zeros({std::ssize(batches_.members(batch))}, at::kDouble)
        .index_add(0, at::tensor(owner, at::kLong), log_probability)
        .unsqueeze(1);
  }

 private:
  const Scored& sequence(std::int64_t i) const { return sequences_[static_cast<std::size_t>(i)]; }

  std::vector<Scored> sequences_;
  SequenceBatches batches_;
};

class Embedding final : public Probe {
 public:
  Embedding(const graph::Program& program, std::vector<TokenIds> texts, std::int64_t tokens)
      : texts_(std::move(texts)), batches_(program, ids_of(texts_), tokens) {}
  std::int64_t examples() const override { return std::ssize(texts_); }
  std::int64_t batches() const override { return batches_.count(); }
  std::vector<at::Tensor> inputs(std::int64_t batch) const override { return batches_.inputs(batch); }
  std::vector<std::int64_t> members(std::int64_t batch) const override { return batches_.members(batch); }
  at::Tensor read(std::int64_t batch, const at::Tensor& output) const override {
    const std::vector<const TokenIds*> texts = batches_.of(batch);
    const at::Tensor hidden = output.narrow(0, 0, std::ssize(texts)).to(at::kDouble);
    return models::sentence_embedding(hidden, TokenInputs::mask(texts, hidden.size(0), hidden.size(1)));
  }

 private:
  std::vector<TokenIds> texts_;
  SequenceBatches batches_;
};

class Classes final : public Probe {
 public:
  Classes(std::vector<at::Tensor> inputs, std::int64_t batch) : inputs_(std::move(inputs)), batch_(batch) {}
  std::int64_t examples() const override { return inputs_.empty() ? 0 : inputs_.front().size(0); }
  std::int64_t batches() const override { return (examples() + batch_ - 1) / batch_; }
  std::vector<at::Tensor> inputs(std::int64_t batch) const override {
    std::vector<at::Tensor> out;
    for (const at::Tensor& input : inputs_) out.push_back(input.narrow(0, batch * batch_, size(batch)));
    return out;
  }
  std::vector<std::int64_t> members(std::int64_t batch) const override {
    std::vector<std::int64_t> out(static_cast<std::size_t>(size(batch)));
    std::iota(out.begin(), out.end(), batch * batch_);
    return out;
  }
  at::Tensor read(std::int64_t, const at::Tensor& output) const override {
    if (output.dim() != 2)
      throw UserError({.code = "E0203",
                       .exit = Exit::Usage,
                       .subject = "the model",
                       .message = "gives no classes: its output has rank " + std::to_string(output.dim()),
                       .where = {},
                       .why = {},
                       .help = "labelled data judges classifiers, whose first output is [samples, classes]"});
    return (output.size(1) == 1 ? output.gt(0) : output.argmax(1, true)).to(at::kDouble);
  }

 private:
  std::int64_t size(std::int64_t batch) const { return std::min(batch_, examples() - batch * batch_); }

  std::vector<at::Tensor> inputs_;
  std::int64_t batch_;
};

}  // namespace

std::vector<at::Tensor> Probe::inputs(std::int64_t) const { return {}; }
std::optional<at::Tensor> Probe::rows(std::int64_t) const { return std::nullopt; }
at::Tensor Probe::read(std::int64_t, const at::Tensor&) const {
  POLLARD_CHECK(false, "a probe that reads no output was given one");
}
at::Tensor Probe::ask(std::int64_t, const models::Model&) const {
  POLLARD_CHECK(false, "a probe that asks no network was given one");
}

std::unique_ptr<Probe> likelihood_probe(const graph::Program& program, std::vector<Scored> sequences,
                                        std::int64_t tokens) {
  return std::make_unique<Likelihood>(program, std::move(sequences), tokens);
}
std::unique_ptr<Probe> embedding_probe(const graph::Program& program, std::vector<TokenIds> texts,
                                       std::int64_t tokens) {
  return std::make_unique<Embedding>(program, std::move(texts), tokens);
}
std::unique_ptr<Probe> class_probe(std::vector<at::Tensor> inputs, std::int64_t batch) {
  return std::make_unique<Classes>(std::move(inputs), batch);
}

}  // namespace pollard::pruning::fairness
