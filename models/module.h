// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/init.h"

namespace pollard::models {

/// A layer or network: named tensors and children whose dotted paths are PyTorch's state-dict keys.
///
///     struct Linear : Module {                       Linear fc{128, 10};
///       at::Tensor weight, bias;                     // fc.weight [10,128]: meta, no memory yet
///       Linear(int64_t in, int64_t out) {            fc.initialise(generator);   // or load tensors by key
///         parameter("weight", weight, {out, in});    at::Tensor y = fc(x);
///         parameter("bias", bias, {out});
///       }
///       at::Tensor operator()(const at::Tensor& x) const { return at::linear(x, weight, bias); }
///     };
///
/// Construction never allocates parameter memory: parameters are meta tensors until initialise() or assign()
/// replaces them, so a network of any size can be built, counted, matched against a checkpoint and captured.
/// Modules register the addresses of their members and therefore neither copy nor move.
class Module {
 public:
  enum class Kind : std::uint8_t { Parameter, Buffer };

  /// One registered tensor.
  struct Slot {
    std::string name;  ///< within its module; may contain dots
    at::Tensor* tensor;
    Kind kind = Kind::Parameter;
    bool persistent = true;  ///< Buffer: part of the state dict
    bool tie = false;        ///< a further name, listed after everything else
    Init init;               ///< Parameter: how a fresh one is filled
  };

  /// One state-dict entry of the whole tree.
  struct Entry {
    std::string key;  ///< "layer1.0.conv1.weight"
    Slot* slot;
    std::string tied_to;  ///< the first key that names the same tensor, or ""
    at::Tensor& tensor() const { return *slot->tensor; }
    bool is_parameter() const { return slot->kind == Kind::Parameter; }
  };

  Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  virtual ~Module() = default;

  /// Every tensor of the tree in PyTorch's order: own parameters, own buffers, the children, own ties.
  /// A tensor reached twice appears again with `tied_to` set.
  std::vector<Entry> entries();
  /// Elements in all parameters, each tensor counted once.
  std::int64_t parameter_count();

  /// Gives every parameter fresh values by its Init, in key order.
  void initialise(at::Generator generator);
  /// Converts every floating-point tensor.
  void to(at::ScalarType dtype);
  /// Sets train-mode behaviour (dropout, stochastic depth, batch statistics) of the whole tree. Off at first.
  void train(bool on = true);
  bool training() const { return training_; }

  /// Replaces the Init of every parameter of the tree for which `rule(key, shape)` answers.
  using InitRule = std::function<std::optional<Init>(const std::string& key, at::IntArrayRef shape)>;
  void set_init(const InitRule& rule);

 protected:
  struct Child {
    std::string name;
    Module& module;
  };

  void parameter(std::string name, at::Tensor& tensor, at::IntArrayRef shape, Init init = {});
  /// A further name for a tensor of a child: tied weights.
  void tie(std::string name, at::Tensor& tensor);
  /// A tensor that is not trained; `value` is its constructed content.
  void buffer(std::string name, at::Tensor& tensor, at::Tensor value, bool persistent = true);
  /// Registers members. A name may contain dots ("downsample.0") or be empty (the child's names are this module's
  /// own). The same child may appear under two names.
  void children(std::initializer_list<Child> list);
  void child(std::string name, Module& module);

 private:
  void collect(const std::string& prefix, std::vector<Entry>& out);

  std::vector<Slot> slots_;
  std::vector<std::pair<std::string, Module*>> children_;
  bool training_ = false;
};

/// Children under the keys "0", "1", ...
template <class T>
class ModuleList : public Module {
 public:
  template <class... Args>
  T& emplace(Args&&... args) {
    items_.push_back(std::make_unique<T>(std::forward<Args>(args)...));
    child(std::to_string(items_.size() - 1), *items_.back());
    return *items_.back();
  }
  std::size_t size() const { return items_.size(); }
  const T& operator[](std::size_t i) const { return *items_[i]; }
  T& operator[](std::size_t i) { return *items_[i]; }
  auto begin() const { return items_.begin(); }  ///< of unique_ptr<T>
  auto end() const { return items_.end(); }

 private:
  std::vector<std::unique_ptr<T>> items_;
};

/// Names an intermediate value of a forward run, so that it can be compared with a reference. Costs nothing
/// unless a TapRecorder is alive on this thread.
void tap(std::string_view name, const at::Tensor& value);
/// Whether a tap would be kept: for taps that are not part of the network's own computation.
bool tapping();

/// Collects the taps of every forward run during its life, on its own thread.
class TapRecorder {
 public:
  TapRecorder();
  ~TapRecorder();
  TapRecorder(const TapRecorder&) = delete;
  TapRecorder& operator=(const TapRecorder&) = delete;
  const std::vector<std::pair<std::string, at::Tensor>>& taps() const { return taps_; }

 private:
  friend void tap(std::string_view name, const at::Tensor& value);
  /// Whether a tap would be kept: for taps that are not part of the network's own computation.
  bool tapping();
  TapRecorder* previous_;
  std::vector<std::pair<std::string, at::Tensor>> taps_;
};

}  // namespace pollard::models
