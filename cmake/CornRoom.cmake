# SPDX-License-Identifier: Apache-2.0
# A room is a directory whose sources form one library, and which may include its own headers and
# those of the rooms named in DEPS, nothing else. The wall: the include path of a room leads through a
# directory that holds a link to that room alone, so that `#include "arbiterd/os/loop.h"` in a
# room without `os` among its DEPS names a file that does not exist.
#
#   corn_room(NAME PATH DIRECTORY [DEPS room...] [LIBS public-target...] [PRIVATE_LIBS target...])
#
# makes target corn_NAME of all *.cc in the room's directory except main.cc.
function(corn_room name)
  cmake_parse_arguments(ROOM "" "PATH" "DEPS;LIBS;PRIVATE_LIBS" ${ARGN})
  set(wall ${CMAKE_SOURCE_DIR}/build/rooms/${name})
  get_filename_component(parent ${wall}/${ROOM_PATH} DIRECTORY)
  file(MAKE_DIRECTORY ${parent})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${ROOM_PATH} ${wall}/${ROOM_PATH} SYMBOLIC)

  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  list(TRANSFORM ROOM_DEPS PREPEND corn_)
  if(sources)
    add_library(corn_${name} STATIC ${sources})
    target_include_directories(corn_${name} PUBLIC ${wall})
    if(CORN_COVERAGE)
      # Otherwise a header counts once for each way that leads to it.
      target_compile_options(corn_${name} PUBLIC -fprofile-prefix-map=${wall}=${CMAKE_SOURCE_DIR})
    endif()
    target_link_libraries(corn_${name}
      PUBLIC ${ROOM_DEPS} ${ROOM_LIBS}
      PRIVATE corn_compile_options ${ROOM_PRIVATE_LIBS})
  else()
    add_library(corn_${name} INTERFACE)
    target_include_directories(corn_${name} INTERFACE ${wall})
    target_link_libraries(corn_${name} INTERFACE ${ROOM_DEPS} ${ROOM_LIBS})
  endif()
endfunction()
