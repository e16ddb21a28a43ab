# SPDX-License-Identifier: Apache-2.0
# Compiler flags that all of our code shares: `lathe_options` for every target, `lathe_lean` for what ends up in the
# runtime library.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 17)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g1")

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths below the source tree count as relative, so that clones share what one of them compiled.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

add_library(lathe_options INTERFACE)
target_include_directories(lathe_options INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include
                                                   ${CMAKE_BINARY_DIR}/generated)
target_compile_definitions(lathe_options INTERFACE LATHE_VERSION="${PROJECT_VERSION}")
target_compile_options(lathe_options INTERFACE -Wall -Wextra -Wconversion -Wshadow -fno-semantic-interposition
                                               -ffunction-sections -fdata-sections)
if(LATHE_WERROR)
  target_compile_options(lathe_options INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports these for correct uses of std::string, std::variant and std::optional (PR 105651, 105562, 105593);
  # they depend on inlining and so on the optimisation level.
  target_compile_options(lathe_options INTERFACE
    -Wno-error=maybe-uninitialized -Wno-error=array-bounds -Wno-error=stringop-overflow -Wno-error=stringop-overread
    -Wno-error=free-nonheap-object $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
else()
  # libstdc++ 12 uses its own deprecated get_temporary_buffer; clang's -Wconversion includes signs, GCC's does not.
  target_compile_options(lathe_options INTERFACE -Wno-deprecated-declarations -Wno-sign-conversion)
endif()
target_link_options(lathe_options INTERFACE LINKER:--gc-sections)

if(LATHE_SANITIZE)
  target_compile_options(lathe_options INTERFACE -fsanitize=${LATHE_SANITIZE} -fno-sanitize-recover=all
                                                 -fno-omit-frame-pointer)
  target_link_options(lathe_options INTERFACE -fsanitize=${LATHE_SANITIZE})
  if(LATHE_SANITIZE MATCHES "undefined")  # what is compiled without RTTI has no types to check
    target_compile_options(lathe_options INTERFACE -fno-sanitize=vptr)
  endif()
endif()

add_library(lathe_lean INTERFACE)
# -Os: nothing in it is hot but generated code, and it makes the runtime a quarter smaller.
target_compile_options(lathe_lean INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti>
                                            $<$<CONFIG:Release>:-Os>)
target_link_libraries(lathe_lean INTERFACE lathe_options)
