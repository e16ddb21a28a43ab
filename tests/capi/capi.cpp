// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "engine_support/plans.h"
#include "lathe/lathe.h"

extern "C" int c_program(const char* path);
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
