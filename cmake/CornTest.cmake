# SPDX-License-Identifier: Apache-2.0
# Tests are of two kinds: GoogleTest programs that link little, and scripts that run real processes.
include(GoogleTest)

#   corn_unit_test(NAME SOURCES file... DEPS room... [LIBS target...] [LABELS label...] [TIMEOUT seconds])
function(corn_unit_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;DEPS;LIBS;LABELS" ${ARGN})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  list(TRANSFORM TEST_DEPS PREPEND corn_)
  add_executable(${name} ${TEST_SOURCES})
  target_link_libraries(${name} PRIVATE ${TEST_DEPS} ${TEST_LIBS} corn_compile_options
    GTest::gmock_main Threads::Threads)
  target_compile_definitions(${name} PRIVATE
    CORN_SOURCE_DIR="${CMAKE_SOURCE_DIR}" CORN_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${TEST_TIMEOUT} LABELS "${TEST_LABELS}")
endfunction()

#   corn_script_test(NAME COMMAND program arg... [LABELS label...] [TIMEOUT seconds])
# runs a script with the build tree's programs named by CORN_BIN.
function(corn_script_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "COMMAND;LABELS" ${ARGN})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 300)
  endif()
  add_test(NAME ${name} COMMAND ${TEST_COMMAND} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES
    TIMEOUT ${TEST_TIMEOUT} LABELS "${TEST_LABELS}"
    ENVIRONMENT "CORN_BIN=${CMAKE_BINARY_DIR}/bin;CORN_BUILD=${CMAKE_BINARY_DIR};CORN_SANITIZE=${CORN_SANITIZE}")
endfunction()
