# SPDX-License-Identifier: Apache-2.0
# Where the programs go on an installed system.
include(GNUInstallDirs)
install(TARGETS arbiterd RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(TARGETS workerd corn-stacks RUNTIME DESTINATION libexec/corn)
if(TARGET cornctl)
  install(TARGETS cornctl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
