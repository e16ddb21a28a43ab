# SPDX-License-Identifier: Apache-2.0
# Libraries of others, each as one interface target whose headers are system headers. scripts/bootstrap.sh installs them.

find_package(Threads REQUIRED)

# Static: the runtime library must depend on libc alone. Debian's archive is not position independent towards symbols
# that could be interposed; hiding them makes it fit for our shared libraries.
find_library(SODIUM_STATIC libsodium.a REQUIRED)
add_library(dep_sodium INTERFACE)
target_link_libraries(dep_sodium INTERFACE ${SODIUM_STATIC})
target_link_options(dep_sodium INTERFACE LINKER:--exclude-libs,libsodium.a)

find_path(PROTOZERO_INCLUDE protozero/pbf_reader.hpp REQUIRED)
add_library(dep_protozero INTERFACE)
target_include_directories(dep_protozero SYSTEM INTERFACE ${PROTOZERO_INCLUDE})

find_path(FLATBUFFERS_INCLUDE flatbuffers/flatbuffers.h REQUIRED)
find_program(FLATC flatc REQUIRED)
add_library(dep_flatbuffers INTERFACE)
target_include_directories(dep_flatbuffers SYSTEM INTERFACE ${FLATBUFFERS_INCLUDE})

find_path(JSON_INCLUDE nlohmann/json.hpp REQUIRED)
add_library(dep_json INTERFACE)
target_include_directories(dep_json SYSTEM INTERFACE ${JSON_INCLUDE})

# By hand: Debian's libzip-config.cmake asks for tools that the development package does not have.
find_path(ZIP_INCLUDE zip.h REQUIRED)
add_library(dep_zip INTERFACE)
target_include_directories(dep_zip SYSTEM INTERFACE ${ZIP_INCLUDE})
if(NOT CMAKE_CROSSCOMPILING)  # for other machines nothing is linked that reads zip files
  find_library(ZIP_LIBRARY zip REQUIRED)
  target_link_libraries(dep_zip INTERFACE ${ZIP_LIBRARY})
endif()

find_path(FMT_INCLUDE fmt/format.h REQUIRED)
add_library(dep_fmt INTERFACE)
target_include_directories(dep_fmt SYSTEM INTERFACE ${FMT_INCLUDE})
target_compile_definitions(dep_fmt INTERFACE FMT_HEADER_ONLY=1)

if(LATHE_COMPILER)
  find_path(CLI11_INCLUDE CLI/CLI.hpp REQUIRED)
  add_library(dep_cli11 INTERFACE)
  target_include_directories(dep_cli11 SYSTEM INTERFACE ${CLI11_INCLUDE})

  find_package(SQLite3 REQUIRED)
  add_library(dep_sqlite INTERFACE)
  target_link_libraries(dep_sqlite INTERFACE SQLite::SQLite3)

  find_package(JPEG REQUIRED)
  find_package(PNG REQUIRED)
  find_package(ZLIB REQUIRED)
  add_library(dep_images INTERFACE)
  target_link_libraries(dep_images INTERFACE JPEG::JPEG PNG::PNG ZLIB::ZLIB)

  # Found by hand: LLVMConfig.cmake would ask for the development packages of everything LLVM was built with.
  set(LLVM_PREFIX /usr/lib/llvm-19 CACHE PATH "Where LLVM 19 is installed")
  find_library(LLVM_SHARED NAMES LLVM-19 LLVM PATHS ${LLVM_PREFIX}/lib NO_DEFAULT_PATH REQUIRED)
  find_library(LLD_ELF lldELF PATHS ${LLVM_PREFIX}/lib NO_DEFAULT_PATH REQUIRED)
  find_library(LLD_COMMON lldCommon PATHS ${LLVM_PREFIX}/lib NO_DEFAULT_PATH REQUIRED)
  find_library(ZSTD zstd REQUIRED)  # LLD compresses sections with it
  find_program(CLANG clang-19 PATHS ${LLVM_PREFIX}/bin REQUIRED)
  find_program(LLVM_LINK NAMES llvm-link-19 llvm-link PATHS ${LLVM_PREFIX}/bin REQUIRED)
  add_library(dep_llvm INTERFACE)
  target_include_directories(dep_llvm SYSTEM INTERFACE ${LLVM_PREFIX}/include)
  target_compile_definitions(dep_llvm INTERFACE _GNU_SOURCE __STDC_CONSTANT_MACROS __STDC_FORMAT_MACROS
                                                __STDC_LIMIT_MACROS)
  target_link_libraries(dep_llvm INTERFACE ${LLD_ELF} ${LLD_COMMON} ${LLVM_SHARED} ZLIB::ZLIB ${ZSTD})
endif()
