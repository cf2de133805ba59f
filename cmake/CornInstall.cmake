# SPDX-License-Identifier: Apache-2.0
# Where the programs go on an installed system.
include(GNUInstallDirs)
install(TARGETS arbiterd RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(TARGETS workerd corn-stacks RUNTIME DESTINATION libexec/corn)
if(TARGET cornctl)
  install(TARGETS cornctl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
# Where Debian's Python looks: its own packages, or those of the machine's administrator. Decided when it is
# installed, as `cmake --install --prefix` may name another place than was configured.
install(CODE "
  if(CMAKE_INSTALL_PREFIX STREQUAL \"/usr\")
    set(corn_python_packages lib/python3/dist-packages)
  else()
    set(corn_python_packages lib/python${Python3_VERSION_MAJOR}.${Python3_VERSION_MINOR}/dist-packages)
  endif()")
install(DIRECTORY ${CMAKE_SOURCE_DIR}/python/corn DESTINATION "\${corn_python_packages}"
  FILES_MATCHING PATTERN "*.py")
install(TARGETS corn_engine LIBRARY DESTINATION "\${corn_python_packages}/corn")
