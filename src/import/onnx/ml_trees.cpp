// SPDX-License-Identifier: Apache-2.0
// ai.onnx.ml tree ensembles: both ONNX forms (nodes named by tree and id; tables by index) become the tables of
// ops::TreeEnsemble, whose nodes come before their children.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "import/onnx/handlers.h"
#include "import/onnx/importer.h"
#include "import/onnx/ml.h"
#include "ops/tree_ensemble.h"

namespace lathe::onnx {

namespace {

struct Branch {
  int64_t at = 0;  ///< a node, or a leaf
  bool leaf = false;
};

struct TreeNode {
  int64_t feature = 0;
  int32_t mode = 0;
  std::vector<double> splits;  ///< several: the true branch if the feature is one of them
  Branch yes, no;
};

struct Trees {
  std::vector<TreeNode> nodes;
  std::vector<Branch> roots;
  std::vector<std::vector<std::pair<int64_t, double>>> leaves;  ///< targets and their weights
  int64_t targets = 1;
};

Result<ValueId> ensemble(Node& n, const Trees& t, const std::string& aggregate) {
  std::vector<int32_t> nodes, roots, offsets = {0}, targets;
  std::vector<double> splits, weights;
  for (const auto& leaf : t.leaves) {
    for (const auto& [target, weight] : leaf) {
      if (target < 0 || target >= t.targets)
        return damaged("a leaf is of target " + std::to_string(target) + " of " + std::to_string(t.targets));
      targets.push_back(static_cast<int32_t>(target));
      weights.push_back(weight);
    }
    offsets.push_back(static_cast<int32_t>(targets.size()));
  }
  // What is to be visited, and where its place in the table is to be written.
  struct Visit {
    int64_t node;
    std::vector<size_t> to;
  };
  std::vector<bool> seen(t.nodes.size(), false);
  const auto reach = [&](const Branch& b, std::vector<size_t> to, std::vector<Visit>& stack) -> Status {
    const size_t most = b.leaf ? t.leaves.size() : t.nodes.size();
    if (b.at < 0 || static_cast<uint64_t>(b.at) >= most)
      return damaged("there is no " + std::string(b.leaf ? "leaf " : "node ") + std::to_string(b.at));
    if (b.leaf) {
      for (const size_t i : to) nodes[i] = static_cast<int32_t>(~b.at);
      return {};
    }
    if (seen[static_cast<size_t>(b.at)]) return damaged("node " + std::to_string(b.at) + " has two parents");
    seen[static_cast<size_t>(b.at)] = true;
    stack.push_back({b.at, std::move(to)});
    return {};
  };
  for (const Branch& root : t.roots) {
    std::vector<Visit> stack;
    if (root.leaf) return damaged("a root is a leaf");
    roots.push_back(static_cast<int32_t>(splits.size()));
    LATHE_CHECK(reach(root, {}, stack));
    while (!stack.empty()) {
      const Visit visit = std::move(stack.back());
      stack.pop_back();
      const TreeNode& node = t.nodes[static_cast<size_t>(visit.node)];
      if (node.feature < 0 || node.feature > std::numeric_limits<int32_t>::max())
        return damaged("feature " + std::to_string(node.feature) + " is out of range");
      for (const size_t i : visit.to) nodes[i] = static_cast<int32_t>(splits.size());
      std::vector<size_t> yes;
      for (const double split : node.splits) {  // one comparison after the other
        if (!yes.empty()) nodes[nodes.size() - 1] = static_cast<int32_t>(splits.size());
        nodes.insert(nodes.end(), {static_cast<int32_t>(node.feature), node.mode, 0, 0});
        splits.push_back(split);
        yes.push_back(nodes.size() - 2);
      }
      const size_t no = nodes.size() - 1;
      LATHE_CHECK(reach(node.no, {no}, stack));
      LATHE_CHECK(reach(node.yes, std::move(yes), stack));
    }
  }
  const ValueId x = n.dtype(0) == DType::kF64 ? n.in(0) : n.b.cast(n.in(0), DType::kF32);
  const DType type = n.b.dtype(x);
  const auto reals = [&](const std::vector<double>& v) {
    Tensor out = Tensor::zeros(type, {static_cast<int64_t>(v.size())});
    for (size_t i = 0; i < v.size(); ++i) out.set(static_cast<int64_t>(i), v[i]);
    return n.b.constant(std::move(out));
  };
  const auto integers = [&](const std::vector<int32_t>& v, std::vector<int64_t> dims) {
    return n.b.constant(Tensor::of<int32_t>(DType::kI32, std::move(dims), v));
  };
  const auto vector = [&](const std::vector<int32_t>& v) { return integers(v, {static_cast<int64_t>(v.size())}); };
  return n.b.make<ops::TreeEnsemble>({x, integers(nodes, {static_cast<int64_t>(splits.size()), 4}), reals(splits),
                                      vector(roots), vector(offsets), vector(targets), reals(weights)},
                                     [&](ops::TreeEnsemble& o) {
                                       o.targets = t.targets;
                                       o.aggregate = aggregate;
                                     });
}

constexpr std::string_view kModes[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"};

// Nodes and weights named by (tree, node); `prefix`: what the attributes of the weights start with.
Result<Trees> named_trees(Node& n, const std::string& prefix, int64_t targets) {
  const auto get = [&](const std::string& name) { return n.ints(name).value_or(std::vector<int64_t>{}); };
  const auto trees = get("nodes_treeids"), ids = get("nodes_nodeids"), features = get("nodes_featureids"),
             yes = get("nodes_truenodeids"), no = get("nodes_falsenodeids"),
             missing = get("nodes_missing_value_tracks_true");
  const auto modes = n.strings("nodes_modes");
  LATHE_TRY(const auto splits, ml_numbers(n, "nodes_values"));
  const size_t count = trees.size();
  if (count == 0 || ids.size() != count || features.size() != count || yes.size() != count || no.size() != count ||
      modes.size() != count || splits.size() != count || (!missing.empty() && missing.size() != count))
    return damaged("the nodes_ attributes differ in length");
  using Name = std::pair<int64_t, int64_t>;
  std::map<Name, size_t> inner;  // among the nodes, or among the leaves
  std::map<Name, size_t> leaves;
  Trees t;
  t.targets = targets;
  std::vector<size_t> source;
  for (size_t i = 0; i < count; ++i) {
    const Name name{trees[i], ids[i]};
    if (inner.contains(name) || leaves.contains(name))
      return damaged("node " + std::to_string(ids[i]) + " of tree " + std::to_string(trees[i]) + " is defined twice");
    if (modes[i] == "LEAF") {
      leaves[name] = t.leaves.size();
      t.leaves.emplace_back();
      continue;
    }
    const auto mode = std::ranges::find(kModes, modes[i]);
    if (mode == std::end(kModes)) return unsupported("the mode \"" + modes[i] + "\" is not supported");
    inner[name] = t.nodes.size();
    TreeNode node;
    node.feature = features[i];
    node.mode = static_cast<int32_t>(mode - std::begin(kModes));
    if (!missing.empty() && missing[i] != 0) node.mode += ops::kMissingTrue;
    node.splits = {splits[i]};
    t.nodes.push_back(std::move(node));
    source.push_back(i);
  }
  std::set<Name> children;
  for (size_t k = 0; k < source.size(); ++k) {
    const size_t i = source[k];
    const auto branch = [&](int64_t id) -> Result<Branch> {
      const Name name{trees[i], id};
      children.insert(name);
      if (const auto it = inner.find(name); it != inner.end()) return Branch{static_cast<int64_t>(it->second), false};
      if (const auto it = leaves.find(name); it != leaves.end()) return Branch{static_cast<int64_t>(it->second), true};
      return damaged("tree " + std::to_string(trees[i]) + " has no node " + std::to_string(id));
    };
    LATHE_TRY(t.nodes[k].yes, branch(yes[i]));
    LATHE_TRY(t.nodes[k].no, branch(no[i]));
  }
  for (size_t i = 0; i < count; ++i) {  // in the order of the file
    const Name name{trees[i], ids[i]};
    if (children.contains(name)) continue;
    if (const auto it = inner.find(name); it != inner.end()) {
      t.roots.push_back({static_cast<int64_t>(it->second), false});
    } else {  // a tree of one leaf
      TreeNode node;
      node.splits = {0};
      node.yes = node.no = {static_cast<int64_t>(leaves[name]), true};
      t.roots.push_back({static_cast<int64_t>(t.nodes.size()), false});
      t.nodes.push_back(std::move(node));
    }
  }
  if (std::set<int64_t>(trees.begin(), trees.end()).size() != t.roots.size())
    return damaged("a tree has no root, or several");
  const auto at_tree = get(prefix + "_treeids"), at_node = get(prefix + "_nodeids"), target = get(prefix + "_ids");
  LATHE_TRY(const auto weights, ml_numbers(n, prefix + "_weights"));
  if (at_node.size() != at_tree.size() || target.size() != at_tree.size() || weights.size() != at_tree.size())
    return damaged("the " + prefix + "_ attributes differ in length");
  for (size_t i = 0; i < at_tree.size(); ++i) {
    const auto leaf = leaves.find({at_tree[i], at_node[i]});
    if (leaf == leaves.end()) return damaged("weight " + std::to_string(i) + " is not that of a leaf");
    t.leaves[leaf->second].emplace_back(target[i], weights[i]);
  }
  return t;
}

Result<ValueId> with_base_values(Node& n, ValueId scores, int64_t targets) {
  LATHE_TRY(const auto base, ml_numbers(n, "base_values"));
  if (base.empty()) return scores;
  if (static_cast<int64_t>(base.size()) != targets && base.size() != 1)
    return damaged("base_values has " + std::to_string(base.size()) + " values for " + std::to_string(targets));
  return n.b.op("Add", {scores, ml_vector(n, base, n.b.dtype(scores))});
}

}  // namespace

Result<Values> tree_regressor(Node& n) {
  std::string aggregate = n.s("aggregate_function", "SUM");
  std::ranges::transform(aggregate, aggregate.begin(), [](char c) { return static_cast<char>(c | 0x20); });
  const int64_t targets = n.i("n_targets", 1);
  LATHE_TRY(const Trees t, named_trees(n, "target", targets));
  LATHE_TRY(const ValueId scores, ensemble(n, t, aggregate));
  LATHE_TRY(const ValueId sum, with_base_values(n, scores, targets));
  LATHE_TRY(const ValueId y, post_transformed(n, sum, n.s("post_transform", "NONE")));
  return n.done(n.b.cast(y, DType::kF32));
}

// → label, scores. Of two classes whose weights are all given to one, ONNX Runtime takes the first's as the score of
// the second, from which the other follows, and the second's as they are.
Result<Values> tree_classifier(Node& n) {
  LATHE_TRY(const Tensor labels, class_labels(n, "classlabels_int64s"));
  const int64_t classes = labels.count();
  LATHE_TRY(Trees t, named_trees(n, "class", classes));
  std::set<int64_t> used;
  bool positive = true;
  for (auto& leaf : t.leaves)
    for (auto& [target, weight] : leaf) {
      used.insert(target);
      positive = positive && weight >= 0;
    }
  const bool one_sided = classes == 2 && used.size() == 1;
  if (one_sided && used.contains(0)) {  // the one score is that of the second class
    t.targets = 1;
    LATHE_TRY(ValueId score, ensemble(n, t, "sum"));
    LATHE_TRY(const auto base, ml_numbers(n, "base_values"));
    if (base.size() > 2) return damaged("base_values has more than two values");
    if (!base.empty()) score = n.b.op("Add", {score, n.b.scalar(n.b.dtype(score), base.back())});
    return binary_classes(n, score, labels, positive);
  }
  LATHE_TRY(ValueId scores, ensemble(n, t, "sum"));
  if (one_sided) {  // the first class has no score of its own: a threshold on the second's decides
    if (n.attr("base_values") || n.attr("base_values_as_tensor"))
      return unsupported("base_values where only the second of two classes has weights");
    LATHE_TRY(const Values decided, binary_classes(n, n.b.slice(scores, 1, 1, 2), labels, positive));
    LATHE_TRY(const ValueId z, post_transformed(n, scores, n.s("post_transform", "NONE")));
    return n.done({decided[0], n.b.cast(z, DType::kF32)});
  }
  LATHE_TRY(scores, with_base_values(n, scores, classes));
  return multiple_classes(n, scores, labels);
}

Result<Values> tree_ensemble(Node& n) {
  const auto table = [&](const char* name) { return n.ints(name).value_or(std::vector<int64_t>{}); };
  const auto features = table("nodes_featureids"), yes = table("nodes_truenodeids"), no = table("nodes_falsenodeids"),
             yes_leaf = table("nodes_trueleafs"), no_leaf = table("nodes_falseleafs"),
             missing = table("nodes_missing_value_tracks_true"), roots = table("tree_roots"),
             targets = table("leaf_targetids");
  LATHE_TRY(const auto splits, ml_numbers(n, "nodes_splits"));
  LATHE_TRY(const auto modes, ml_numbers(n, "nodes_modes"));
  LATHE_TRY(const auto weights, ml_numbers(n, "leaf_weights"));
  LATHE_TRY(const auto members, ml_numbers(n, "membership_values"));
  const size_t count = features.size();
  for (const size_t size : {yes.size(), no.size(), yes_leaf.size(), no_leaf.size(), splits.size(), modes.size()})
    if (size != count) return damaged("the nodes_ attributes differ in length");
  if (!missing.empty() && missing.size() != count) return damaged("the nodes_ attributes differ in length");
  if (targets.size() != weights.size()) return damaged("leaf_targetids and leaf_weights differ in length");
  Trees t;
  t.targets = n.i("n_targets", 1);
  for (size_t i = 0; i < targets.size(); ++i) t.leaves.push_back({{targets[i], weights[i]}});
  for (const int64_t r : roots) t.roots.push_back({r, false});
  size_t member = 0;
  for (size_t i = 0; i < count; ++i) {
    TreeNode node;
    node.feature = features[i];
    node.yes = {yes[i], yes_leaf[i] != 0};
    node.no = {no[i], no_leaf[i] != 0};
    if (modes[i] == 6) {  // membership: the values up to the next NaN
      for (; member < members.size() && !std::isnan(members[member]); ++member) node.splits.push_back(members[member]);
      if (member++ >= members.size()) return damaged("membership_values end too early");
      if (node.splits.empty()) node.splits.push_back(std::numeric_limits<double>::quiet_NaN());
      node.mode = ops::kTreeEqual;
    } else if (modes[i] >= 0 && modes[i] < 6) {
      node.mode = static_cast<int32_t>(modes[i]);
      node.splits = {splits[i]};
    } else {
      return damaged("the mode " + std::to_string(modes[i]) + " is not known");
    }
    if (!missing.empty() && missing[i] != 0) node.mode += ops::kMissingTrue;
    t.nodes.push_back(std::move(node));
  }
  static constexpr const char* kAggregates[] = {"average", "sum", "min", "max"};
  static constexpr const char* kTransforms[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  const int64_t aggregate = n.i("aggregate_function", 1), transform = n.i("post_transform", 0);
  if (aggregate < 0 || aggregate > 3 || transform < 0 || transform > 4)
    return damaged("aggregate_function or post_transform is out of range");
  LATHE_TRY(const ValueId scores, ensemble(n, t, kAggregates[aggregate]));
  LATHE_TRY(const ValueId y, post_transformed(n, scores, kTransforms[transform]));
  return n.done(n.b.cast(y, n.dtype(0)));
}

}  // namespace lathe::onnx
