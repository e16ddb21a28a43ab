# SPDX-License-Identifier: Apache-2.0

# Kernels that need real control flow are plain C or C++ in src/codegen/longtail. clang turns them into one bitcode
# module for each target family, which is embedded as
#   extern "C" const unsigned char lathe_longtail_<arch>[];  extern "C" const size_t lathe_longtail_<arch>_size;
# Vectorisation and unrolling are left to the compiler that specialises them for a real CPU.
set(LATHE_LONGTAIL_TRIPLES x86_64-linux-gnu aarch64-linux-gnu)

# lathe_longtail(<target>): embeds the modules in <target>.
function(lathe_longtail target)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/codegen/longtail/*.c
                                      ${CMAKE_SOURCE_DIR}/src/codegen/longtail/*.cpp)
  set(flags -O2 -emit-llvm -c -ffreestanding -fno-math-errno -fno-vectorize -fno-slp-vectorize -fno-unroll-loops
            -fPIC -fvisibility=hidden -fno-stack-protector -fno-asynchronous-unwind-tables -fno-ident
            -Wall -Wextra -Wshadow -I${CMAKE_SOURCE_DIR}/src -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
  if(LATHE_WERROR)
    list(APPEND flags -Werror)
  endif()
  set(cxx_flags -std=c++23 -nostdinc++ -fno-exceptions -fno-rtti -fno-threadsafe-statics)
  foreach(triple IN LISTS LATHE_LONGTAIL_TRIPLES)
    string(REGEX REPLACE "-.*" "" arch ${triple})
    set(dir ${CMAKE_BINARY_DIR}/longtail/${arch})
    file(MAKE_DIRECTORY ${dir})
    set(modules)
    foreach(source IN LISTS sources)
      get_filename_component(name ${source} NAME)
      set(language_flags)
      if(name MATCHES "\\.cpp$")
        set(language_flags ${cxx_flags})
      endif()
      set(module ${dir}/${name}.bc)
      add_custom_command(
        OUTPUT ${module}
        COMMAND ${CLANG} --target=${triple} ${flags} ${language_flags} -MD -MF ${module}.d -MT ${module}
                -o ${module} ${source}
        DEPENDS ${source} DEPFILE ${module}.d
        COMMENT "Bitcode ${arch}/${name}" VERBATIM)
      list(APPEND modules ${module})
    endforeach()
    set(assembly ${dir}/embed.S)
    if(modules)
      set(linked ${dir}/longtail.bc)
      add_custom_command(OUTPUT ${linked} COMMAND ${LLVM_LINK} -o ${linked} ${modules} DEPENDS ${modules} VERBATIM)
      set_source_files_properties(${assembly} PROPERTIES OBJECT_DEPENDS ${linked})
      set(data ".incbin \"${linked}\"")
    else()
      set(data "")
    endif()
    set(symbol lathe_longtail_${arch})
    file(CONFIGURE OUTPUT ${assembly} @ONLY CONTENT [[
.section .rodata
.balign 16
.globl @symbol@
.type @symbol@, %object
@symbol@:
@data@
1:
.size @symbol@, 1b - @symbol@
.balign 8
.globl @symbol@_size
.type @symbol@_size, %object
.size @symbol@_size, 8
@symbol@_size: .quad 1b - @symbol@
.section .note.GNU-stack,"",%progbits
]])
    target_sources(${target} PRIVATE ${assembly})
  endforeach()
endfunction()
