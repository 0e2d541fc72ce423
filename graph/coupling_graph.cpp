// SPDX-License-Identifier: Apache-2.0
#include "graph/coupling_graph.h"

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/connected_components.hpp>
#include <deque>
#include <map>

#include "graph/error.h"

namespace pollard::graph {
namespace {

using Boosted =
    boost::adjacency_list<boost::vecS, boost::vecS, boost::undirectedS, boost::no_property, std::int32_t>;

}  // namespace

struct CouplingGraph::Impl {
  std::vector<Vertex> vertices;
  std::vector<Edge> edges;
  std::vector<std::vector<std::size_t>> by_value;  ///< vertices of each value
  Boosted graph;
};

namespace {

/// Adds the vertices of one value: one a dimension and mentioned axis.
void add_vertices(const Dependencies& d, ValueId id, std::vector<CouplingGraph::Vertex>& vertices,
                  std::vector<std::size_t>& mine) {
  const auto add = [&](std::int32_t dim, TermId whole) {
    for (TermId term : d.terms.axes(whole)) {
      const CouplingGraph::Vertex vertex{{id, dim}, d.axis_of(term)};
      if (!mine.empty() && vertices[mine.back()] == vertex) continue;
      mine.push_back(vertices.size());
      vertices.push_back(vertex);
    }
  };
  const std::vector<TermId>& dims = d[id].dims;
  for (std::size_t dim = 0; dim < dims.size(); ++dim) add(static_cast<std::int32_t>(dim), dims[dim]);
  for (const auto& [dim, term] : d[id].stacked) add(dim, term);
}

}  // namespace

CouplingGraph::CouplingGraph(const Program& program, const Dependencies& d)
    : impl_(std::make_unique<Impl>()) {
  Impl& g = *impl_;
  g.by_value.resize(program.values.size());
  for (std::size_t v = 0; v < program.values.size(); ++v)
    add_vertices(d, {static_cast<std::int32_t>(v)}, g.vertices, g.by_value[v]);

  // An op couples, axis by axis, every dimension of its operands and results that mentions the axis.
  const auto couple = [&](const std::vector<ValueId>& values, std::int32_t op) {
    std::map<AxisIndex, std::size_t> first;
    for (ValueId id : values)
      for (std::size_t vertex : g.by_value[static_cast<std::size_t>(id.index)]) {
        const auto [found, fresh] = first.emplace(g.vertices[vertex].axis, vertex);
        if (!fresh && found->second != vertex) g.edges.push_back({found->second, vertex, op});
      }
  };
  for (std::size_t i = 0; i < program.ops.size(); ++i) {
    std::vector<ValueId> values = program.ops[i].outputs;
    for (const NamedArg& named : program.ops[i].args)
      for (ValueId id : values_in(named.arg)) values.push_back(id);
    couple(values, static_cast<std::int32_t>(i));
  }
  for (const Input& input : program.inputs)
    if (const Input* other = input.tied_to.empty() ? nullptr : program.find_input(input.tied_to))
      couple({other->value, input.value}, kTied);

  for (std::size_t v = 0; v < g.vertices.size(); ++v) boost::add_vertex(g.graph);
  for (const Edge& edge : g.edges) boost::add_edge(edge.a, edge.b, edge.op, g.graph);
}

CouplingGraph::~CouplingGraph() = default;
CouplingGraph::CouplingGraph(CouplingGraph&&) noexcept = default;

const std::vector<CouplingGraph::Vertex>& CouplingGraph::vertices() const { return impl_->vertices; }
const std::vector<CouplingGraph::Edge>& CouplingGraph::edges() const { return impl_->edges; }

std::vector<int> CouplingGraph::components() const {
  std::vector<int> component(impl_->vertices.size());
  boost::connected_components(impl_->graph, component.data());
  return component;
}

std::optional<std::vector<CouplingGraph::Step>> CouplingGraph::path(DimRef from, DimRef to) const {
  const Impl& g = *impl_;
  constexpr auto kNone = static_cast<std::size_t>(-1);
  std::vector<std::size_t> before(g.vertices.size(), kNone);
  std::vector<std::int32_t> by(g.vertices.size(), -1);
  std::deque<std::size_t> queue;
  for (std::size_t vertex : g.by_value[static_cast<std::size_t>(from.value.index)])
    if (g.vertices[vertex].dim == from) {
      queue.push_back(vertex);
      before[vertex] = vertex;
    }
  while (!queue.empty()) {
    const std::size_t at = queue.front();
    queue.pop_front();
    if (g.vertices[at].dim == to) {
      std::vector<Step> steps;
      for (std::size_t v = at;; v = before[v]) {
        steps.push_back({g.vertices[v], by[v]});
        if (before[v] == v) break;
      }
      std::ranges::reverse(steps);
      return steps;
    }
    for (const auto edge : boost::make_iterator_range(boost::out_edges(at, g.graph))) {
      const std::size_t next = boost::target(edge, g.graph);
      if (before[next] != kNone) continue;
      before[next] = at;
      by[next] = g.graph[edge];
      queue.push_back(next);
    }
  }
  return std::nullopt;
}

}  // namespace pollard::graph
