# Epact: `make help` lists the targets.
SHELL := /bin/bash
CC ?= gcc
CFLAGS ?= -O3 -g
BUILD ?= build
PREFIX ?= /usr/local
LUADIR ?= $(PREFIX)/share/lua/5.1
LIBDIR ?= $(PREFIX)/lib/lua/5.1
BINDIR ?= $(PREFIX)/bin
PKG_CONFIG ?= pkg-config

MSGPACK := $(shell $(PKG_CONFIG) --exists msgpack-c 2>/dev/null && echo msgpack-c || echo msgpack)
PACKAGES = luajit libzmq openblas $(MSGPACK) zlib
WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
override CPPFLAGS += -D_GNU_SOURCE $(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null | sed 's/-I/-isystem /g')
override ALL_CFLAGS = -std=c11 -fPIC -fvisibility=hidden -fno-math-errno -fno-trapping-math $(WARNINGS) $(CFLAGS)
LIBS = $(shell $(PKG_CONFIG) --libs libzmq openblas $(MSGPACK) zlib 2>/dev/null) -lpthread -lm

SOURCES := $(wildcard csrc/*/*.c)
OBJECTS := $(SOURCES:csrc/%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/cdef.o
LIBRARY := $(BUILD)/epact/native.so

.PHONY: all
all: $(LIBRARY) ## build the library (default)

$(LIBRARY): $(OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -shared -Wl,-z,nodelete $(LDFLAGS) -o $@ $(OBJECTS) $(LIBS)

$(BUILD)/obj/%.o: csrc/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<

# The public headers, preprocessed, as one C string: what ffi.cdef reads.
$(BUILD)/obj/cdef.c: csrc/epact.h $(wildcard csrc/*/*.h)
	@mkdir -p $(@D)
	@{ echo 'const char *epact_cdef(void);'; echo '__attribute__((visibility("default"))) const char *epact_cdef(void)'; \
	  echo '{'; echo '  return'; $(CC) -E -P -DEPACT_CDEF csrc/epact.h | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/.*/    "&\\n"/'; echo '    "";'; echo '}'; } > $@

$(BUILD)/obj/cdef.o: $(BUILD)/obj/cdef.c
	$(CC) -std=c11 -fPIC -Wno-overlength-strings $(CFLAGS) -c -o $@ $<

-include $(OBJECTS:.o=.d)

.PHONY: clean
clean: ## remove what was built
	rm -rf build lua_modules doc
