// SPDX-License-Identifier: Apache-2.0
#include "models/module.h"

#include <ATen/ops/empty.h>

#include <unordered_map>

#include "graph/error.h"

namespace pollard::models {
namespace {
thread_local TapRecorder* active_recorder = nullptr;
}

std::vector<Module::Entry> Module::entries() {
  std::vector<Entry> out;
  collect("", out);
  std::unordered_map<const at::Tensor*, const std::string*> first;
  for (Entry& entry : out) {
    const auto [seen, added] = first.emplace(entry.slot->tensor, &entry.key);
    if (!added) entry.tied_to = *seen->second;
  }
  return out;
}

void Module::collect(const std::string& prefix, std::vector<Entry>& out) {
  const auto add = [&](Kind kind, bool tie) {
    for (Slot& slot : slots_)
      if (slot.kind == kind && slot.tie == tie)
        out.push_back({.key = prefix + slot.name, .slot = &slot, .tied_to = {}});
  };
  add(Kind::Parameter, false);
  add(Kind::Buffer, false);
  for (auto& [name, module] : children_) module->collect(name.empty() ? prefix : prefix + name + ".", out);
  add(Kind::Parameter, true);
}

std::int64_t Module::parameter_count() {
  std::int64_t total = 0;
  for (const Entry& entry : entries())
    if (entry.is_parameter() && entry.tied_to.empty()) total += entry.tensor().numel();
  return total;
}

void Module::initialise(at::Generator generator) {
  for (const Entry& entry : entries())
    if (entry.is_parameter() && entry.tied_to.empty())
      entry.tensor() = fresh(entry.tensor(), entry.slot->init, generator);
}

void Module::to(at::ScalarType dtype) {
  for (const Entry& entry : entries())
    if (entry.tied_to.empty() && entry.tensor().is_floating_point())
      entry.tensor() = entry.tensor().to(dtype);
}

void Module::train(bool on) {
  training_ = on;
  for (auto& [name, module] : children_) module->train(on);
}

void Module::set_init(const InitRule& rule) {
  for (const Entry& entry : entries())
    if (entry.is_parameter())
      if (const auto init = rule(entry.key, entry.tensor().sizes())) entry.slot->init = *init;
}

void Module::parameter(std::string name, at::Tensor& tensor, at::IntArrayRef shape, Init init) {
  tensor = at::empty(shape, at::TensorOptions().dtype(at::kFloat).device(at::kMeta));
  slots_.push_back({.name = std::move(name), .tensor = &tensor, .init = init});
}

void Module::tie(std::string name, at::Tensor& tensor) {
  slots_.push_back({.name = std::move(name), .tensor = &tensor, .tie = true});
}

void Module::buffer(std::string name, at::Tensor& tensor, at::Tensor value, bool persistent) {
  tensor = std::move(value);
  slots_.push_back(
      {.name = std::move(name), .tensor = &tensor, .kind = Kind::Buffer, .persistent = persistent});
}

void Module::children(std::initializer_list<Child> list) {
  for (const Child& item : list) child(item.name, item.module);
}

void Module::child(std::string name, Module& module) { children_.emplace_back(std::move(name), &module); }

void tap(std::string_view name, const at::Tensor& value) {
  if (active_recorder) active_recorder->taps_.emplace_back(name, value);
}

bool tapping() { return active_recorder != nullptr; }

TapRecorder::TapRecorder() : previous_(active_recorder) { active_recorder = this; }
TapRecorder::~TapRecorder() { active_recorder = previous_; }

}  // namespace pollard::models
