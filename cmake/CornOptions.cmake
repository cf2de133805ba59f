# SPDX-License-Identifier: Apache-2.0
# Language level, warnings and sanitizers: what holds for every target. No link-time optimisation: it
# was measured (bench/README.md) and changes nothing, the work being done by kernel and interpreter.
option(CORN_BUILD_TESTS "Build the tests" ON)
option(CORN_BUILD_BENCH "Build the micro-benchmarks" OFF)
option(CORN_FUZZ "Build the libFuzzer targets (clang only)" OFF)
option(CORN_COVERAGE "Instrument for gcov" OFF)
set(CORN_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize takes them: address, thread, undefined")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_program(CORN_CCACHE ccache)
if(CORN_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CORN_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CORN_CCACHE})
endif()

# Every Corn target links this interface library; generated code does not.
add_library(corn_compile_options INTERFACE)
target_compile_options(corn_compile_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wswitch-enum -Werror -fno-omit-frame-pointer)
target_compile_definitions(corn_compile_options INTERFACE
  _GNU_SOURCE CORN_VERSION="${PROJECT_VERSION}")

if(CORN_SANITIZE)
  # The instrumentation hides initialisations from GCC's flow analysis, which then warns of what is not there.
  target_compile_options(corn_compile_options INTERFACE
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  if(CORN_SANITIZE STREQUAL "thread")
    # ThreadSanitizer doesn't model fences; the scoreboard's texts are atomic words besides.
    target_compile_options(corn_compile_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
  endif()
  # The check of virtual tables probes memory through a pipe, and so takes every object for broken in
  # the tests in which no descriptor is left.
  add_compile_options(-fsanitize=${CORN_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=all -g)
  add_link_options(-fsanitize=${CORN_SANITIZE})
endif()
if(CORN_COVERAGE)
  add_compile_options(--coverage -O0 -g)
  add_link_options(--coverage)
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
# A Python found first on PATH may be somebody's own; applications run on Debian's.
set(Python3_EXECUTABLE /usr/bin/python3)
find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter Development.Embed Development.Module)
