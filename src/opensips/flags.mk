# SPDX-License-Identifier: GPL-2.0-or-later
# Prints, one a line, the flags that an OpenSIPS tree gives its own modules, then its version:
#
#   make -s -f flags.mk -C TREE flags [VERSIONTYPE=git THISREVISION=...]
#
# It writes nothing into the tree, which must have been built (Makefile.conf is there then).
DEFS := $(DEFS_EXTRA_OPTS)
include Makefile.conf
include Makefile.sources
include Makefile.defs

.PHONY: flags
flags:
	@for word in $(DEFS) $(MOD_CFLAGS); do printf '%s\n' "$$word"; done
	@printf '%s\n' 'OPENSIPS_VERSION=$(VERSION_MAJOR).$(VERSION_MINOR).$(VERSION_SUBMINOR)'
