// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "engine_support/plans.h"
#include "lathe/lathe.h"

extern "C" int c_program(const char* path);
extern "C" int c_custom_program(const char* path, const char* library);
std::string cpp_program(const std::string& path);

namespace lathe::test {
namespace {

class CApi : public testing::Test {
 protected:
  void SetUp() override {
    LATHE_NEEDS_KERNELS();
    setenv("XDG_STATE_HOME", "/nonexistent", 1);
    const auto written = write_engine(path, bias_engine());
    ASSERT_TRUE(written) << written.error().message;
  }
  void TearDown() override { std::filesystem::remove(path); }
  std::string path = std::filesystem::temp_directory_path() / ("lathe-capi-" + std::to_string(getpid()) + ".lathe");
};

TEST_F(CApi, serves_a_c_program) {
  const int line = c_program(path.c_str());
  EXPECT_EQ(line, 0) << "tests/capi/program.c:" << line << ": last error: " << lathe_last_error();
}

TEST_F(CApi, runs_operators_that_a_c_program_registers) {
  const auto written = write_engine(path, custom_engine());
  ASSERT_TRUE(written) << written.error().message;
  const int line = c_custom_program(path.c_str(), "libm.so.6");
  EXPECT_EQ(line, 0) << "tests/capi/custom.c:" << line << ": last error: " << lathe_last_error();
}

TEST_F(CApi, damaged_descriptions_of_custom_operators_are_refused) {
  const struct {
    const char* what;
    void (*change)(CustomOperator&);
  } cases[] = {
      {"no name", [](CustomOperator& o) { o.name.clear(); }},
      {"rank", [](CustomOperator& o) { o.inputs[0].rank = 33; }},
      {"rank of nothing", [](CustomOperator& o) { o.inputs[1].rank = 1; }},
      {"type", [](CustomOperator& o) { o.inputs[0].dtype = static_cast<DType>(99); }},
      {"absent output", [](CustomOperator& o) { o.outputs[0].dtype = DType::kUndefined; }},
      {"negative rank", [](CustomOperator& o) { o.outputs[0].rank = -1; }},
      {"kind", [](CustomOperator& o) { o.attributes[0].kind = static_cast<CustomAttribute::Kind>(4); }},
      {"tensor without a type", [](CustomOperator& o) { o.attributes[0].kind = CustomAttribute::Kind::kTensor; }},
      {"tensor's size",
       [](CustomOperator& o) {
         o.attributes[0].kind = CustomAttribute::Kind::kTensor;
         o.attributes[0].dtype = DType::kF32;
         o.attributes[0].ints = {int64_t{1} << 40, int64_t{1} << 40};
       }},
      {"too few operands", [](CustomOperator& o) { o.inputs.pop_back(); }},
      {"another rank", [](CustomOperator& o) { o.outputs[0].rank = 2; }},
      {"absent and given", [](CustomOperator& o) { o.inputs[1].dtype = DType::kF32; }},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.what);
    ASSERT_TRUE(write_engine(path, custom_engine([&](CustomOperator& o, Plan&) { c.change(o); })));
    lathe_engine* engine = nullptr;
    lathe_session* session = nullptr;
    lathe_engine_options options = LATHE_ENGINE_OPTIONS_INIT;
    options.trust = 1;
    ASSERT_EQ(lathe_engine_open(path.c_str(), &options, &engine), LATHE_OK) << lathe_last_error();
    EXPECT_EQ(lathe_session_create(engine, nullptr, &session), LATHE_DAMAGED) << lathe_last_error();
    lathe_engine_close(&engine);
  }
}

TEST_F(CApi, serves_a_cpp_program) { EXPECT_EQ(cpp_program(path), ""); }

TEST_F(CApi, callers_of_an_older_header_get_and_give_less) {
  lathe_engine* engine = nullptr;
  lathe_engine_options options = LATHE_ENGINE_OPTIONS_INIT;
  options.trust = 1;
  options.target = "not read: beyond the size the caller knows";
  options.size = offsetof(lathe_engine_options, target);
  ASSERT_EQ(lathe_engine_open(path.c_str(), &options, &engine), LATHE_OK) << lathe_last_error();
  lathe_port_info info = LATHE_PORT_INFO_INIT;
  info.rank = 77;
  info.size = offsetof(lathe_port_info, rank);
  ASSERT_EQ(lathe_engine_port(engine, LATHE_OUTPUT, 0, &info), LATHE_OK);
  EXPECT_STREQ(info.name, "out");
  EXPECT_EQ(info.rank, 77u);
  EXPECT_EQ(info.size, offsetof(lathe_port_info, rank));
  lathe_engine_close(&engine);
}

TEST_F(CApi, names_types_as_the_text_form_does) {
  EXPECT_STREQ(lathe_dtype_name(LATHE_BF16), "bf16");
  EXPECT_STREQ(lathe_dtype_name(static_cast<lathe_dtype>(31)), "undefined");
  EXPECT_EQ(lathe_dtype_bits(LATHE_I4), 4);
  EXPECT_STREQ(lathe_version(), LATHE_VERSION);
}

}  // namespace
}  // namespace lathe::test
