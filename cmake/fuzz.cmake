# SPDX-License-Identifier: Apache-2.0
# fuzz/<stem>.cpp defines LLVMFuzzerTestOneInput; fuzz/corpus/<stem>/, if there, are its seeds.
file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/fuzz/*.cpp)
foreach(file IN LISTS files)
  get_filename_component(stem ${file} NAME_WE)
  add_executable(fuzz_${stem} ${file})
  set_target_properties(fuzz_${stem} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  target_link_options(fuzz_${stem} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(fuzz_${stem} PRIVATE lathe_import lathe_runtime lathe_options)
endforeach()
