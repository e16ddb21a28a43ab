// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include "ir/graph.h"
#include "ir/text.h"

namespace lathe {

namespace {

constexpr int kMaxNesting = 16;
constexpr int64_t kMaxElements = int64_t{1} << 32;  // of a constant given by its hash
constexpr int64_t kMaxMadeUp = 10'000'000;

/// `around`: the graph whose operator holds the parsed one; null for the outermost.
Result<std::unique_ptr<Graph>> parse_nested(std::string_view text, int depth, const Graph* around);

/// Characters of one text, read from the front.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  [[nodiscard]] bool at_end() {
    skip_blank();
    return at_ == text_.size();
  }
  [[nodiscard]] char peek() {
    skip_blank();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  /// The keyword `word`, if it is next.
  bool take_word(std::string_view word) {
    skip_blank();
    const std::string_view rest = text_.substr(at_);
    if (!rest.starts_with(word) || (rest.size() > word.size() && text::is_word_char(rest[word.size()]))) return false;
    at_ += word.size();
    return true;
  }
  [[nodiscard]] Status expect(char c) {
    if (take(c)) return {};
    return error(std::string("expected '") + c + "'");
  }
  /// A plain word; empty if there is none.
  std::string word() {
    skip_blank();
    const size_t start = at_;
    while (at_ < text_.size() && text::is_word_char(text_[at_])) ++at_;
    return std::string(text_.substr(start, at_ - start));
  }
  Result<std::string> string() {
    LATHE_CHECK(expect('"'));
    std::string s;
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      s += text_[at_];
    }
    if (at_ == text_.size()) return error("unterminated string");
    ++at_;
    return s;
  }
  /// A word or a quoted string.
  Result<std::string> name() {
    if (peek() == '"') return string();
    std::string s = word();
    if (s.empty()) return error("expected a name");
    return s;
  }
  template <class T>
  Result<T> number() {
    skip_blank();
    T v{};
    const auto [end, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), v);
    if (code != std::errc()) return error("expected a number");
    at_ = static_cast<size_t>(end - text_.data());
    return v;
  }
  /// Raw text up to one of `stops` outside of quotes and brackets; the stop is not taken.
  Result<std::string_view> raw_until(std::string_view stops) {
    const size_t start = at_;
    int depth = 0;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (depth == 0 && stops.contains(c)) return text_.substr(start, at_ - start);
      if (c == '"') {
        LATHE_TRY([[maybe_unused]] const std::string s, string());
        --at_;
      }
      if (c == '(' || c == '[' || c == '{') ++depth;
      if (c == ')' || c == ']' || c == '}') --depth;
    }
    return error("unexpected end of the text");
  }
  [[nodiscard]] std::unexpected<Error> error(const std::string& what) const {
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n');
    return fail(Code::kDamaged, "line " + std::to_string(line) + ": " + what);
  }

 private:
  void skip_blank() {
    while (at_ < text_.size() && (std::isspace(static_cast<unsigned char>(text_[at_])) || text_[at_] == '\r')) ++at_;
  }
  std::string_view text_;
  size_t at_ = 0;
};

/// Fills an operator's attributes from their texts.
class AttrReader final : public AttrVisitor {
 public:
  AttrReader(std::map<std::string, std::string_view, std::less<>> texts, int depth, const Graph& around)
      : texts_(std::move(texts)), depth_(depth), around_(around) {}

  void attr(const char* n, int64_t& v) override { number(n, v); }
  void attr(const char* n, double& v) override { number(n, v); }
  void attr(const char* n, bool& v) override {
    with(n, [&](Cursor& c) -> Status {
      v = c.take_word("true");
      if (!v && !c.take_word("false")) return c.error("expected true or false");
      return {};
    });
  }
  void attr(const char* n, std::string& v) override {
    with(n, [&](Cursor& c) -> Status {
      LATHE_TRY(v, c.string());
      return {};
    });
  }
  void attr(const char* n, std::vector<int64_t>& v) override {
    list(n, v, [](Cursor& c) { return c.number<int64_t>(); });
  }
  void attr(const char* n, std::vector<double>& v) override {
    list(n, v, [](Cursor& c) { return c.number<double>(); });
  }
  void attr(const char* n, std::vector<std::string>& v) override {
    list(n, v, [](Cursor& c) { return c.string(); });
  }
  void attr(const char* n, DType& v) override {
    with(n, [&](Cursor& c) -> Status {
      const auto t = dtype_from_name(c.word());
      if (!t) return c.error("unknown type");
      v = *t;
      return {};
    });
  }
  void attr(const char* n, Program& v) override {
    braced(n, [&](std::string_view inner) -> Status {
      LATHE_TRY(v, parse_program(inner));
      return {};
    });
  }
  void attr(const char* n, std::shared_ptr<Graph>& v) override {
    braced(n, [&](std::string_view inner) -> Status {
      LATHE_TRY(v, parse_nested(inner, depth_ + 1, &around_));
      return {};
    });
  }

  /// After visiting: an attribute that could not be read, or that the operator has not.
  [[nodiscard]] Status finish() const {
    if (status_ && !texts_.empty()) return fail(Code::kDamaged, "no attribute \"" + texts_.begin()->first + "\"");
    return status_;
  }

 private:
  template <class F>
  void with(const char* n, F f) {
    const auto it = texts_.find(n);
    if (it == texts_.end()) return;
    Cursor c(it->second);
    Status s = f(c);
    if (s && !c.at_end()) s = c.error("unexpected text");
    if (!s && status_) status_ = fail(Code::kDamaged, "attribute \"" + std::string(n) + "\": " + s.error().message);
    texts_.erase(it);
  }
  template <class T>
  void number(const char* n, T& v) {
    with(n, [&](Cursor& c) -> Status {
      LATHE_TRY(v, c.number<T>());
      return {};
    });
  }
  template <class T, class F>
  void list(const char* n, std::vector<T>& v, F item) {
    with(n, [&](Cursor& c) -> Status {
      v.clear();
      LATHE_CHECK(c.expect('['));
      while (!c.take(']')) {
        if (!v.empty()) LATHE_CHECK(c.expect(','));
        LATHE_TRY(T x, item(c));
        v.push_back(std::move(x));
      }
      return {};
    });
  }
  template <class F>
  void braced(const char* n, F f) {
    with(n, [&](Cursor& c) -> Status {
      if (c.take_word("null")) return {};
      LATHE_CHECK(c.expect('{'));
      LATHE_TRY(const std::string_view inner, c.raw_until("}"));
      LATHE_CHECK(f(inner));
      return c.expect('}');
    });
  }

  std::map<std::string, std::string_view, std::less<>> texts_;
  int depth_;
  const Graph& around_;
  Status status_;
};

struct Declared {
  std::string name;
  std::optional<DType> dtype;
  Shape shape;
};

class Parser {
 public:
  Parser(std::string_view text, int depth, const Graph* around)
      : in_(text), depth_(depth), graph_(around ? around->nested() : std::make_unique<Graph>()) {}

  Result<std::unique_ptr<Graph>> run() {
    while (!in_.at_end()) LATHE_CHECK(statement());
    // Names made up from now on differ from those in the text.
    for (int64_t i = 0; i <= last_made_up_; ++i) graph_->fresh_name();
    return std::move(graph_);
  }

 private:
  Status statement() {
    if (in_.take_word("graph")) {
      LATHE_TRY(graph_->name, in_.string());
      return {};
    }
    if (in_.take_word("symbol")) return symbol();
    if (in_.take_word("input")) return input();
    if (in_.take_word("state")) return state();
    if (in_.take_word("const")) return constant();
    if (in_.take_word("output")) return output();
    return node();
  }

  Status symbol() {
    LATHE_TRY(const std::string name, in_.name());
    LATHE_CHECK(in_.expect('='));
    SymbolRange range;
    LATHE_TRY(range.min, in_.number<int64_t>());
    LATHE_TRY(range.opt, in_.number<int64_t>());
    LATHE_TRY(range.max, in_.number<int64_t>());
    graph_->symbols[name] = range;
    // Symbols made up from now on, in nested graphs too, differ from this one.
    int64_t number = -1;
    const char* const end = name.data() + name.size();
    if (std::from_chars(name.data() + name.rfind('_') + 1, end, number).ptr == end && number < kMaxMadeUp)
      graph_->reserve_symbols(number + 1);
    return {};
  }

  Result<Declared> declared(bool typed) {
    Declared d;
    LATHE_TRY(d.name, in_.name());
    if (values_.contains(d.name)) return in_.error("\"" + d.name + "\" is defined twice");
    if (d.name[0] == '%') LATHE_CHECK(note_made_up(d.name));
    if (!typed && in_.peek() != ':') return d;
    LATHE_CHECK(in_.expect(':'));
    d.dtype = dtype_from_name(in_.word());
    if (!d.dtype) return in_.error("unknown type of \"" + d.name + "\"");
    LATHE_CHECK(in_.expect('['));
    while (!in_.take(']')) {
      if (!d.shape.empty()) LATHE_CHECK(in_.expect(','));
      LATHE_TRY(const std::string_view raw, in_.raw_until(",]"));
      const auto dim = parse_dim(raw);
      if (!dim) return in_.error("cannot read dimension \"" + std::string(raw) + "\"");
      d.shape.push_back(*dim);
    }
    return d;
  }

  Status note_made_up(const std::string& name) {
    int64_t number = -1;
    const char* const end = name.data() + name.size();
    if (std::from_chars(name.data() + 1, end, number).ptr != end) return {};
    if (number >= kMaxMadeUp) return in_.error("the number of \"" + name + "\" is too large");
    last_made_up_ = std::max(last_made_up_, number);
    return {};
  }

  Status input() {
    if (!graph_->states.empty()) return in_.error("inputs come before states");
    LATHE_TRY(Declared d, declared(true));
    const ValueId v = graph_->add_input(d.name, *d.dtype, d.shape);
    values_[d.name] = v;
    return {};
  }

  Status state() {
    if (depth_ > 0) return in_.error("a graph that a node holds has no state");
    LATHE_TRY(const Declared d, declared(true));
    LATHE_TRY(Tensor initial, literal(d));
    values_[d.name] = graph_->add_input(d.name, *d.dtype, d.shape);
    graph_->states.push_back(std::move(initial));
    return {};
  }

  Status constant() {
    LATHE_TRY(const Declared d, declared(true));
    LATHE_TRY(Tensor t, literal(d));
    values_[d.name] = graph_->add_constant(d.name, std::move(t));
    return {};
  }

  // "= [elements]", or a hash, for which there are zeros.
  Result<Tensor> literal(const Declared& d) {
    LATHE_CHECK(in_.expect('='));
    const auto dims = static_dims(d.shape);
    if (!dims) return in_.error("constant \"" + d.name + "\" has a symbolic shape");
    int64_t count = 1;
    for (const int64_t n : *dims) {
      if (n < 0 || (n > 0 && count > kMaxElements / n)) return in_.error("constant \"" + d.name + "\" is too large");
      count *= n;
    }
    if (in_.peek() == '#') {
      in_.word();
      return *d.dtype == DType::kString
                 ? Tensor::of_strings(*dims, std::vector<std::string>(static_cast<size_t>(count)))
                 : Tensor::zeros(*d.dtype, *dims);
    }
    if (count > text::kMaxPrinted) return in_.error("constant \"" + d.name + "\" has too many elements to be listed");
    LATHE_CHECK(in_.expect('['));
    Tensor t = Tensor::zeros(*d.dtype, *dims);
    std::vector<std::string> strings;
    for (int64_t i = 0; i < count; ++i) {
      if (i) LATHE_CHECK(in_.expect(','));
      if (*d.dtype == DType::kString) {
        LATHE_TRY(strings.emplace_back(), in_.string());
      } else if (dtype_info(*d.dtype).is_float) {
        LATHE_TRY(const double v, in_.number<double>());
        t.set(i, v);
      } else {
        LATHE_TRY(const int64_t v, in_.number<int64_t>());
        t.set_i64(i, v);
      }
    }
    if (*d.dtype == DType::kString) t = Tensor::of_strings(*dims, std::move(strings));
    LATHE_CHECK(in_.expect(']'));
    return t;
  }

  Status output() {
    LATHE_TRY(const ValueId v, use());
    graph_->outputs.push_back(v);
    std::string name = graph_->value(v).name;
    if (in_.take_word("as")) {
      LATHE_TRY(name, in_.string());
    }
    graph_->output_names.push_back(std::move(name));
    return {};
  }

  Result<ValueId> use() {
    LATHE_TRY(const std::string name, in_.name());
    const auto it = values_.find(name);
    if (it == values_.end()) return in_.error("\"" + name + "\" is not defined");
    return it->second;
  }

  // (a, _, b; c): anchor inputs, then the epilogue's.
  Status arguments(std::vector<ValueId>& anchor, std::vector<ValueId>& more) {
    LATHE_CHECK(in_.expect('('));
    std::vector<ValueId>* to = &anchor;
    bool first = true;
    while (!in_.take(')')) {
      if (in_.take(';'))
        to = &more;
      else if (!first)
        LATHE_CHECK(in_.expect(','));
      first = false;
      if (in_.take_word("_")) {
        to->push_back(kNoId);
        continue;
      }
      LATHE_TRY(const ValueId v, use());
      to->push_back(v);
    }
    return {};
  }

  Result<std::shared_ptr<const Op>> op_with_attributes(const OpInfo& info) {
    std::map<std::string, std::string_view, std::less<>> texts;
    if (in_.take('{')) {
      while (!in_.take('}')) {
        if (!texts.empty()) LATHE_CHECK(in_.expect(','));
        const std::string key = in_.word();
        LATHE_CHECK(in_.expect('='));
        LATHE_TRY(texts[key], in_.raw_until(",}"));
      }
    }
    auto op = info.make();
    AttrReader reader(std::move(texts), depth_, *graph_);
    op->visit(reader);
    if (const Status s = reader.finish(); !s) return in_.error("[" + std::string(info.name) + "] " + s.error().message);
    return std::shared_ptr<const Op>(std::move(op));
  }

  Status node() {
    std::vector<Declared> results;
    do {
      LATHE_TRY(results.emplace_back(), declared(false));
    } while (in_.take(','));
    LATHE_CHECK(in_.expect('='));
    const std::string op_name = in_.word();
    const OpInfo* const info = find_op(op_name);
    if (!info) return in_.error("no operator \"" + op_name + "\"");
    std::vector<ValueId> anchor, more;
    LATHE_CHECK(arguments(anchor, more));
    LATHE_TRY(auto op, op_with_attributes(*info));
    Program epilogue;
    if (in_.take_word("epilogue")) {
      LATHE_CHECK(in_.expect('{'));
      LATHE_TRY(const std::string_view raw, in_.raw_until("}"));
      LATHE_TRY(epilogue, parse_program(raw));
      LATHE_CHECK(in_.expect('}'));
    }
    std::string node_name;
    if (in_.take('@')) {
      LATHE_TRY(node_name, in_.string());
    }
    std::vector<std::string> names;
    for (const auto& d : results) names.push_back(d.name);
    const auto added = graph_->add_node(std::move(op), std::move(anchor), std::move(names), std::move(node_name));
    if (!added) return in_.error(added.error().message);
    for (const ValueId v : more) graph_->append_input(*added, v);
    return finish_node(*added, results, std::move(epilogue));
  }

  Status finish_node(NodeId id, const std::vector<Declared>& results, Program epilogue) {
    Node& n = graph_->node(id);
    if (n.outputs.size() < results.size()) return in_.error("[" + std::string(n.op->name()) + "] has fewer results");
    if (!epilogue.results.empty())
      graph_->value(n.outputs[0]).dtype = epilogue.steps[static_cast<size_t>(epilogue.results[0])].dtype;
    n.epilogue = std::move(epilogue);
    for (size_t i = 0; i < results.size(); ++i) {
      Value& v = graph_->value(n.outputs[i]);
      values_[results[i].name] = n.outputs[i];
      if (!results[i].dtype) continue;
      if (*results[i].dtype != v.dtype || results[i].shape.size() != v.shape.size())
        return in_.error("\"" + v.name + "\" is " + std::string(dtype_name(v.dtype)) + shape_str(v.shape) + ", not " +
                         std::string(dtype_name(*results[i].dtype)) + shape_str(results[i].shape));
      v.shape = results[i].shape;  // its symbols for data-dependent sizes are those of the text
    }
    return {};
  }

  Cursor in_;
  int depth_;
  std::unique_ptr<Graph> graph_;
  std::map<std::string, ValueId, std::less<>> values_;
  int64_t last_made_up_ = -1;
};

Result<std::unique_ptr<Graph>> parse_nested(std::string_view text, int depth, const Graph* around) {
  if (depth > kMaxNesting) return fail(Code::kDamaged, "graphs are nested too deeply");
  return Parser(text, depth, around).run();
}

}  // namespace

Result<std::unique_ptr<Graph>> parse_graph(std::string_view text) { return parse_nested(text, 0, nullptr); }

}  // namespace lathe
