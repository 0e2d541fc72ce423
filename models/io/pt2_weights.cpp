// SPDX-License-Identifier: Apache-2.0
#include "models/io/pt2_weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <optional>

#include "models/io/bytes.h"
#include "models/io/json_reader.h"
#include "models/io/pt2_schema.h"
#include "models/io/pt2_values.h"
#include "models/io/read_stage.h"
#include "models/io/tensor_memory.h"
#include "models/io/text.h"

namespace pollard::models::io::pt2 {
namespace {

/// Repeated rows (stride 0) and views that overlap may take more memory than the file has bytes, up to this in all.
constexpr std::uint64_t kMaxExpansion = std::uint64_t{64} << 20;

struct Payload {
  std::string name;
  TensorMeta meta;
};

/// The payloads of one config file, grouped by the record that holds them.
using Records = std::map<std::string, std::vector<Payload>>;

bool same_view(const TensorMeta& a, const TensorMeta& b) {
  return a.dtype == b.dtype && a.sizes() == b.sizes() && a.stride_hints() == b.stride_hints() &&
         a.storage_offset == b.storage_offset;
}

std::uint64_t item_size(const TensorMeta& meta) {
  return static_cast<std::uint64_t>(graph::dtype_size(meta.dtype));
}

class WeightsReader {
 public:
  WeightsReader(const ZipReader& archive, graph::Program& program) : archive_(archive), program_(program) {}

  void read(std::string_view folder, const std::string& config_name) {
    const ZipEntry* config = archive_.find(config_name);
    if (!config) {
      if (archive_.find(legacy_name(folder, config_name)))
        JsonReader(archive_.name(), legacy_name(folder, config_name))
            .unsupported("weights pickled in one entry, as torch 2.6 and older wrote them",
                         "load it in Python with torch.export.load and save it again with torch.export.save");
      archive_.require(config_name);
    }
    JsonReader reader(archive_.name(), config_name);
    const Json json = parse_entry(archive_.read_text(*config), archive_.name(), config_name);
    for (const auto& [path, payloads] : group(reader, json))
      read_record(reader, std::string(folder) + path, payloads);
  }

  kernels::Weights take() { return std::move(weights_); }

 private:
  static std::string legacy_name(std::string_view folder, const std::string& config_name) {
    const std::string file = config_name.substr(folder.size());
    return std::string(folder) +
           file.substr(0, file.find("_weights_config")).substr(0, file.find("_constants_config")) + ".pt";
  }

  Records group(JsonReader& reader, const Json& json) const {
    Records records;
    SymbolAssumptions none;
    for (const auto& [name, payload] : reader.object(reader.member(json, "config")).items()) {
      reader.at("weight " + in_quotes(name));
      if (name.empty() || name.size() > 1024 || has_control_characters(name))
        reader.fail("name is not allowed");
      if (reader.boolean(payload, "use_pickle"))
        reader.unsupported("a weight stored as a pickle (a tensor subclass or custom object)",
                           "convert it to a plain tensor before exporting");
      records[reader.string(payload, "path_name")].push_back(
          {name, read_tensor_meta(reader, reader.member(payload, "tensor_meta"), none)});
    }
    return records;
  }

  void read_record(JsonReader& reader, const std::string& entry_name, const std::vector<Payload>& payloads) {
    const ZipEntry* entry = archive_.find(entry_name);
    if (!entry) {
      reader.at("weight " + in_quotes(payloads.front().name));
      reader.fail("its record " + in_quotes(entry_name) + " is missing", "E0362");
    }
    for (const Payload& payload : payloads) {
      reader.at("weight " + in_quotes(payload.name));
      check_fits(reader, payload.meta, *entry);
      check_program(reader, payload);
    }
    materialise(reader, *entry, payloads);
  }

  static void check_fits(const JsonReader& reader, const TensorMeta& meta, const ZipEntry& entry) {
    const std::uint64_t size = item_size(meta);
    if (entry.size % size != 0)
      reader.fail("its record has " + std::to_string(entry.size) + " bytes, not a multiple of " +
                      std::to_string(size),
                  "E0361");
    if (meta.numel() == 0) return;
    std::optional<std::uint64_t> last = static_cast<std::uint64_t>(meta.storage_offset);
    for (std::size_t i = 0; i < meta.shape.size() && last; ++i) {
      const auto step = checked_mul(static_cast<std::uint64_t>(meta.shape[i].hint - 1),
                                    static_cast<std::uint64_t>(meta.strides[i].hint));
      last = step ? checked_add(*last, *step) : std::nullopt;
    }
    if (!last || *last >= entry.size / size)
      reader.fail("its record has " + std::to_string(entry.size) + " bytes, its shape and strides need more",
                  "E0361");
    const std::uint64_t bytes = static_cast<std::uint64_t>(meta.numel()) * size;
    if (bytes > entry.size && bytes > kMaxExpansion)
      reader.fail(
          "it would take " + std::to_string(bytes) + " bytes, its record has " + std::to_string(entry.size),
          "E0361");
  }

  void check_program(const JsonReader& reader, const Payload& payload) const {
    const graph::Input* input = program_.find_input(payload.name);
    if (!input) return;
    const graph::Value& value = program_[input->value];
    if (value.dtype != payload.meta.dtype)
      reader.fail("it is stored as " + std::string(graph::to_string(payload.meta.dtype)) +
                      ", the graph says " + std::string(graph::to_string(value.dtype)),
                  "E0361");
    if (value.sizes() != payload.meta.sizes())
      reader.fail("its stored shape differs from the graph's", "E0361");
  }

  void count(JsonReader& reader, const Payload& payload) {
    bytes_ += static_cast<std::uint64_t>(payload.meta.numel()) * item_size(payload.meta);
    if (bytes_ <= archive_.source().size() + kMaxExpansion) return;
    reader.at("weight " + in_quotes(payload.name));
    reader.fail("it and the ones before take " + std::to_string(bytes_) + " bytes, the file has " +
                    std::to_string(archive_.source().size()),
                "E0361");
  }

  void materialise(JsonReader& reader, const ZipEntry& entry, const std::vector<Payload>& payloads) {
    at::Tensor storage;  // flat, of the first payload's type; read at most once
    std::vector<std::pair<const Payload*, at::Tensor>> made;
    for (const Payload& payload : payloads) {
      const auto twin = std::find_if(made.begin(), made.end(),
                                     [&](const auto& m) { return same_view(m.first->meta, payload.meta); });
      if (twin != made.end()) {
        weights_[payload.name] = twin->second;
        continue;
      }
      count(reader, payload);
      if (!storage.defined()) storage = read_storage(entry, payload.meta);
      const bool alone = std::all_of(payloads.begin(), payloads.end(),
                                     [&](const Payload& p) { return same_view(p.meta, payload.meta); });
      made.emplace_back(&payload, view(storage, payload.meta, alone));
      weights_[payload.name] = made.back().second;
    }
  }

  at::Tensor read_storage(const ZipEntry& entry, const TensorMeta& meta) {
    at::Tensor flat = new_tensor({static_cast<std::int64_t>(entry.size / item_size(meta))}, meta.dtype);
    archive_.read_into(entry, tensor_data(flat));
    stage_.add(entry.size);
    return flat;
  }

  /// The tensor by itself: memory of exactly its size, with its strides where they leave no gap.
  at::Tensor view(const at::Tensor& storage, const TensorMeta& meta, bool alone) const {
    const auto type = kernels::to_scalar_type(meta.dtype);
    if (meta.numel() == 0) return at::empty(meta.sizes(), storage.options().dtype(type));
    const at::Tensor typed = storage.scalar_type() == type ? storage : storage.view(type);
    check_booleans(typed, archive_.name(), "a weight");
    const at::Tensor strided = typed.as_strided(meta.sizes(), meta.stride_hints(), meta.storage_offset);
    const bool whole = alone && strided.is_non_overlapping_and_dense() && strided.numel() == typed.numel();
    return whole ? strided : strided.clone();
  }

  const ZipReader& archive_;
  graph::Program& program_;
  kernels::Weights weights_;
  std::uint64_t bytes_ = 0;  ///< of the weights so far
  ReadStage stage_{archive_.source().size()};
};

/// Inputs that name a tensor an earlier input names already.
void mark_ties(graph::Program& program, const kernels::Weights& weights) {
  std::map<const void*, std::string> first;
  for (graph::Input& input : program.inputs) {
    if (input.kind == graph::Input::Kind::User) continue;
    const at::Tensor& tensor = weights.at(input.source);
    const auto [owner, fresh] = first.try_emplace(tensor.unsafeGetTensorImpl(), input.source);
    if (!fresh && owner->second != input.source) input.tied_to = owner->second;
  }
}

}  // namespace

kernels::Weights read_weights(const ZipReader& archive, const std::string& model, graph::Program& program) {
  WeightsReader reader(archive, program);
  reader.read(kWeightsDir, std::string(kWeightsDir) + model + "_weights_config.json");
  reader.read(kConstantsDir, std::string(kConstantsDir) + model + "_constants_config.json");
  kernels::Weights weights = reader.take();
  for (const graph::Input& input : program.inputs) {
    if (input.kind == graph::Input::Kind::User || weights.contains(input.source)) continue;
    JsonReader(archive.name(), "models/" + model + ".json")
        .fail("weight " + in_quotes(input.source) + " is not in the archive", "E0362");
  }
  mark_ties(program, weights);
  return weights;
}

}  // namespace pollard::models::io::pt2
