# SPDX-License-Identifier: Apache-2.0
# The Python package, assembled in build/python/lathe: python/lathe/*.py beside two extension modules. `_lathe`
# (python/src/*.cpp) holds the runtime and nothing else; `_compiler` (python/src/compiler*.cpp) is linked to
# liblathe_compiler.so, so that LLVM is loaded only when it is imported.

find_program(LATHE_VENV_PYTHON NAMES python PATHS ${CMAKE_SOURCE_DIR}/build/venv/bin NO_DEFAULT_PATH)
set(python ${LATHE_VENV_PYTHON})
if(Python_EXECUTABLE)  # scikit-build-core says which one the wheel is for
  set(python ${Python_EXECUTABLE})
elseif(NOT python)
  find_program(LATHE_PYTHON3 python3 REQUIRED)
  set(python ${LATHE_PYTHON3})
endif()
execute_process(
  COMMAND ${python} -c [[
import importlib.util, sysconfig
include = sysconfig.get_path("include")
if importlib.util.find_spec("pybind11"):  # else Debian's, in /usr/include
    import pybind11
    include = pybind11.get_include() + "|" + include
print(include, sysconfig.get_config_var("EXT_SUFFIX"), sep=";")
]]
  OUTPUT_VARIABLE facts OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
list(GET facts 0 python_include)
string(REPLACE "|" ";" python_include "${python_include}")
list(GET facts 1 python_suffix)

set(package ${CMAKE_BINARY_DIR}/python/lathe)
file(GLOB runtime_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/python/src/*.cpp)
set(compiler_sources ${runtime_sources})
list(FILTER compiler_sources INCLUDE REGEX "/compiler[^/]*$")
list(FILTER runtime_sources EXCLUDE REGEX "/compiler[^/]*$")

function(lathe_python_module target name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBRARIES" ${ARGN})
  if(NOT arg_SOURCES)
    return()
  endif()
  add_library(${target} MODULE ${arg_SOURCES})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} PREFIX "" SUFFIX ${python_suffix}
                        CXX_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${package})
  target_include_directories(${target} SYSTEM PRIVATE ${python_include})
  target_link_libraries(${target} PRIVATE ${arg_LIBRARIES} lathe_options)
endfunction()
lathe_python_module(lathe_python _lathe SOURCES ${runtime_sources} LIBRARIES lathe_runtime)
if(TARGET lathe_compiler)
  lathe_python_module(lathe_python_compiler _compiler SOURCES ${compiler_sources} LIBRARIES lathe_compiler dep_json)
endif()

file(GLOB_RECURSE modules CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/python/lathe
     ${CMAKE_SOURCE_DIR}/python/lathe/*.py ${CMAKE_SOURCE_DIR}/python/lathe/*.pyi
     ${CMAKE_SOURCE_DIR}/python/lathe/py.typed)
set(copies)
foreach(module IN LISTS modules)
  add_custom_command(OUTPUT ${package}/${module} DEPENDS ${CMAKE_SOURCE_DIR}/python/lathe/${module} VERBATIM
                     COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_SOURCE_DIR}/python/lathe/${module} ${package}/${module})
  list(APPEND copies ${package}/${module})
endforeach()
add_custom_target(lathe_python_files ALL DEPENDS ${copies})

# As an installed package has it, so that torch finds the backend "lathe" where only PYTHONPATH points here.
set(distribution ${CMAKE_BINARY_DIR}/python/lathe-${PROJECT_VERSION}.dist-info)
file(CONFIGURE OUTPUT ${distribution}/METADATA
     CONTENT "Metadata-Version: 2.1\nName: lathe\nVersion: ${PROJECT_VERSION}\n")
file(CONFIGURE OUTPUT ${distribution}/entry_points.txt
     CONTENT "[torch_dynamo_backends]\nlathe = lathe.pytorch:backend\n")

# What goes into the wheel (pyproject.toml), which takes the Python files from python/lathe directly. Without
# LATHE_COMPILER it is a wheel for devices that only run engines.
add_custom_target(wheel DEPENDS lathe_python)
if(TARGET lathe_python_compiler)
  add_dependencies(wheel lathe_python_compiler lathe)
endif()
if(SKBUILD)
  install(TARGETS lathe_python LIBRARY DESTINATION . COMPONENT python)
  if(TARGET lathe_python_compiler)
    set_target_properties(lathe_python_compiler PROPERTIES INSTALL_RPATH "$ORIGIN")
    install(TARGETS lathe_python_compiler lathe_compiler LIBRARY DESTINATION . COMPONENT python)
    install(TARGETS lathe RUNTIME DESTINATION bin COMPONENT python)
  endif()
endif()
