// SPDX-License-Identifier: Apache-2.0
// A C++ program's use of lathe.hpp: it includes nothing else of lathe. Returns what went wrong, or "".
#include <array>
#include <string>
#include <vector>

#include "lathe/lathe.hpp"

std::string cpp_program(const std::string& path);

std::string cpp_program(const std::string& path) {
  if (const auto refused = lathe::Engine::open(path); refused || refused.error().status != LATHE_INTEGRITY)
    return "an engine nobody vouches for was opened";
  const auto engine = lathe::Engine::open(path, {.trust = true});
  if (!engine) return engine.error().message;
  if (engine->inputs().size() != 1 || engine->inputs()[0].name != "x" || engine->inputs()[0].dims[0] != -1 ||
      engine->inputs()[0].symbols[0] != "n")
    return "wrong inputs";

  auto session = lathe::Session::create(*engine, {.threads = 2});
  if (!session) return session.error().message;
  const std::vector<float> x = {1, 2, 3, 4};
  if (auto s = session->bind_input("x", x, {1, 4}); !s) return s.error().message;
  if (session->bind_input("x", std::array<double, 4>{}, {1, 4})) return "a double was taken for a float";
  if (session->bind_input("x", x, {2, 4})) return "more elements were bound than there are";
  if (session->bind_input("z", x, {1, 4})) return "there is no input z";
  if (auto s = session->run(); !s) return s.error().message;
  const auto out = session->output("out");
  if (!out) return out.error().message;
  const auto y = out->as<float>();
  if (y.size() != 4 || y[3] != 12 || out->dims.size() != 2) return "wrong output";
  if (!out->as<int>().empty()) return "a float was given as an int";

  lathe::Session moved = std::move(*session);
  return moved.run() ? "" : "a moved session does not run";
}
