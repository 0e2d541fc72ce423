// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "graph/dependencies.h"

namespace pollard::graph {

/// The couplings as a graph people can ask. A vertex is one dimension of one tensor (stored or computed) together
/// with one axis its term mentions; an edge says which op couples two of them:
///
///     conv1.weight:0 --conv2d-- conv2d:1 --batch_norm-- bn1.weight:0 ...
///
/// Groups are its connected components: an independent check on the unifier, asserted in tests.
class CouplingGraph {
 public:
  CouplingGraph(const Program& program, const Dependencies& dependencies);
  ~CouplingGraph();
  CouplingGraph(CouplingGraph&&) noexcept;

  struct Vertex {
    DimRef dim;
    AxisIndex axis;
    auto operator<=>(const Vertex&) const = default;
  };
  static constexpr std::int32_t kTied = -2;  ///< edge between two names of one tensor
  struct Edge {
    std::size_t a, b;  ///< vertices
    std::int32_t op;   ///< or kTied
  };
  const std::vector<Vertex>& vertices() const;
  const std::vector<Edge>& edges() const;

  /// Component number of every vertex (Boost.Graph's connected components).
  std::vector<int> components() const;

  struct Step {
    Vertex vertex;
    std::int32_t op;  ///< the op that couples it to the step before; -1 for the first
  };
  /// Shortest path between two dimensions along one axis both mention; nothing when they are not coupled.
  std::optional<std::vector<Step>> path(DimRef from, DimRef to) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// "layer1.0.conv1.weight:0" as a dimension of a parameter or value (":0" may be left out for dimension 0).
/// Throws UserError E0203 with near names when there is none.
DimRef find_dim(const Program& program, std::string_view text);
/// "layer1.0.conv1.weight:0" or "%relu:1".
std::string name_of(const Program& program, DimRef dim);

/// The couplings in Graphviz DOT: parameters as boxes, one colour a group, frozen ones dashed. Networks with more
/// stored tensors than `limit` are collapsed by module.
std::string to_dot(const Program& program, const Dependencies& dependencies, std::size_t limit = 300);

}  // namespace pollard::graph
