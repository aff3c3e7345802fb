# Epact: `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c
.DELETE_ON_ERROR:
ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS ?= -O3 -g
BUILD ?= build
PREFIX ?= /usr/local
LUADIR ?= $(PREFIX)/share/lua/5.1
LIBDIR ?= $(PREFIX)/lib/lua/5.1
BINDIR ?= $(PREFIX)/bin
PKG_CONFIG ?= pkg-config
JOBS ?= $(shell nproc)
SPEC ?= spec
QUIET := $(if $(V),,@)

MSGPACK := $(shell $(PKG_CONFIG) --exists msgpack-c 2>/dev/null && echo msgpack-c || echo msgpack)
PACKAGES := luajit libzmq openblas $(MSGPACK) zlib
FOUND := $(shell $(PKG_CONFIG) --exists $(PACKAGES) 2>/dev/null && echo yes)
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
INCLUDES := $(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null | sed 's/-I/-isystem /g')
override CPPFLAGS += -D_GNU_SOURCE $(INCLUDES)
override ALL_CFLAGS = -std=c11 -fPIC -fvisibility=hidden -fno-math-errno -fno-trapping-math $(WARNINGS) $(CFLAGS)
LIBS := $(shell $(PKG_CONFIG) --libs libzmq openblas $(MSGPACK) zlib 2>/dev/null) -lpthread -lm
# A program of its own has no LuaJIT around it; the library finds its host's.
PROGRAM_LIBS := $(shell $(PKG_CONFIG) --libs luajit 2>/dev/null) $(LIBS)

SOURCES := $(wildcard csrc/*/*.c)
OBJECTS := $(SOURCES:csrc/%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/cdef.o
LIBRARY := $(BUILD)/epact/native.so
FUZZERS := $(notdir $(basename $(wildcard spec/fuzz/*.c)))
PROGRAM_SOURCES := $(wildcard spec/*.c spec/sim/*.c spec/fuzz/*.c)
PROGRAMS := $(addprefix $(BUILD)/test/,$(notdir $(PROGRAM_SOURCES:.c=)))
LUA_FILES := $(shell find lua -name '*.lua')
SCRIPTS := $(wildcard lua/epact/bin/*)
C_FILES := $(wildcard csrc/*.h csrc/*/*.h spec/*.h spec/*/*.h) $(SOURCES) $(wildcard spec/*.c spec/*/*.c)

MAKE_IN = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))
BUSTED := busted --lua=luajit --output=plainTerminal
export EPACT_BUILD = $(BUILD)
# Old sanitizer runtimes want the address layout of before 2022's kernels, where that can be had.
UNSHUFFLED := $(shell setarch -R true 2>/dev/null && echo setarch -R)
preload = $(foreach runtime,$(1),$(shell $(CC) -print-file-name=lib$(runtime).so))
ASAN_FLAGS := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
TSAN_FLAGS := -O1 -g -fsanitize=thread -fno-omit-frame-pointer

.PHONY: all deps demo test cluster readme programs check-programs lint lint-lua lint-format lint-gcc lint-clang lint-tidy
.PHONY: asan tsan fuzz faults bench doc install rock clean help
all: $(LIBRARY) ## build the library (default; V=1 shows the commands)

$(LIBRARY): $(OBJECTS)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(QUIET)$(CC) $(CFLAGS) -shared -Wl,-z,nodelete $(LDFLAGS) -o $@ $(OBJECTS) $(LIBS)

$(BUILD)/obj/%.o: csrc/%.c
	@$(if $(FOUND),,echo "epact: headers of other libraries are missing: run 'make deps'" >&2; exit 1)
	@mkdir -p $(@D)
	@echo "  CC   $<"
	$(QUIET)$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<

# The public headers, preprocessed, as one C string: what ffi.cdef reads.
$(BUILD)/obj/cdef.c: csrc/epact.h $(wildcard csrc/*/*.h)
	@mkdir -p $(@D)
	@{ echo 'const char *epact_cdef(void);'; echo '__attribute__((visibility("default"))) const char *epact_cdef(void)'; \
	  echo '{'; echo '  return'; \
	  $(CC) -E -P -DEPACT_CDEF csrc/epact.h | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/.*/    "&\\n"/'; \
	  echo '    "";'; echo '}'; } > $@

$(BUILD)/obj/cdef.o: $(BUILD)/obj/cdef.c
	@echo "  CC   $<"
	$(QUIET)$(CC) -std=c11 -fPIC -Wno-overlength-strings $(CFLAGS) -c -o $@ $<

# Test programs link the objects, not the library: its hidden functions are within their reach.
define program
@mkdir -p $(@D)
@echo "  LINK $@"
$(QUIET)$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -Icsrc -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< $(OBJECTS) $(PROGRAM_LIBS)
endef
$(BUILD)/test/%: spec/%.c $(OBJECTS)
	$(program)
$(BUILD)/test/%: spec/sim/%.c $(OBJECTS)
	$(program)
$(BUILD)/test/%: spec/faults/%.c $(OBJECTS)
	$(program)
$(BUILD)/test/%: spec/fuzz/%.c $(OBJECTS)
	$(program)

-include $(OBJECTS:.o=.d) $(wildcard $(BUILD)/test/*.d)

deps: ## install the Debian packages that are missing (NEED="build test lint doc rock cluster")
	@.ci/deps $(NEED)

demo: ## install what is missing, build, and find the topics of real text
	@.ci/deps build
	@$(MAKE_IN) all
	luajit examples/lda.lua

test: ## install what is missing, build, run the C programs and the specs (SPEC=spec/one_spec.lua)
	@.ci/deps build test
	@$(MAKE_IN) all check-programs
	$(BUSTED) --exclude-tags=readme,cluster $(SPEC)

cluster: ## install Slurm, Open MPI and sshd where they are missing, and run the specs that need them (as root)
	@.ci/deps build test cluster
	@$(MAKE_IN) all
	PATH=$$PATH:/usr/sbin $(BUSTED) --tags=cluster $(SPEC)

readme: all ## run every snippet of README.md
	$(BUSTED) spec/readme_spec.lua

programs: $(PROGRAMS)
check-programs: programs
	@for program in $(PROGRAMS); do echo "$$program"; $(RUN) $$program; done

lint: lint-lua lint-format lint-gcc lint-clang lint-tidy ## luacheck, clang-format, -Werror builds, clang-tidy
lint-lua:
	luacheck --quiet --no-color lua examples spec rockspec .busted config.ld
lint-format:
	clang-format --dry-run -Werror $(C_FILES)
lint-gcc lint-clang: lint-%:
	@$(MAKE_IN) BUILD=build/$@ CC=$* CFLAGS='-O2 -Werror' all programs
lint-tidy: $(SOURCES:%=tidy/%)
tidy/%: %
	@echo "  TIDY $<"
	@clang-tidy --quiet $< -- -std=c11 $(CPPFLAGS) $(WARNINGS) 2> >(grep -v 'warnings\? generated' >&2)

asan: ## C programs (leaks too) and specs under the address and undefined-behaviour sanitizers
	@$(MAKE_IN) BUILD=build/asan CFLAGS='$(ASAN_FLAGS)' \
	  RUN='$(UNSHUFFLED) env ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1' all check-programs
	EPACT_BUILD=build/asan UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
	  LD_PRELOAD='$(call preload,asan ubsan)' $(UNSHUFFLED) .ci/specs $(SPEC) $(BUSTED) --exclude-tags=readme,cluster

tsan: ## C programs under the thread sanitizer
	@$(MAKE_IN) BUILD=build/tsan CFLAGS='$(TSAN_FLAGS)' \
	  RUN='$(UNSHUFFLED) env TSAN_OPTIONS=halt_on_error=1:suppressions=.ci/tsan.supp' check-programs

# Each harness of spec/fuzz with libFuzzer, FUZZ_SECONDS long; what it finds is left in build/fuzz.
FUZZ_SECONDS ?= 600
FUZZ_FLAGS := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -DEPACT_FUZZ
FUZZ_OPTIONS := -timeout=10 -rss_limit_mb=2048 -max_len=4096 -verbosity=0 -print_final_stats=1
FUZZ_ASAN := allocator_may_return_null=1:max_allocation_size_mb=256
fuzz: ## fuzz the decoder, shard and client, and the readers of files (FUZZ_SECONDS=600 for each)
	@.ci/deps build fuzz
	@$(MAKE_IN) BUILD=build/fuzz CC=clang CFLAGS='$(FUZZ_FLAGS)' LDFLAGS=-fsanitize=fuzzer,address,undefined \
	  $(FUZZERS:%=fuzz-%)
fuzz-%: $(BUILD)/test/%
	@mkdir -p $(BUILD)/corpus/$*
	@echo "  FUZZ $* for $(FUZZ_SECONDS) s"
	$(QUIET)ASAN_OPTIONS=$(FUZZ_ASAN) $(UNSHUFFLED) $< $(FUZZ_OPTIONS) -max_total_time=$(FUZZ_SECONDS) \
	  -artifact_prefix=$(BUILD)/found-$*- $(BUILD)/corpus/$* spec/fuzz/corpus/$* >$(BUILD)/$*.log 2>&1 || \
	  { grep -av '# Uses' $(BUILD)/$*.log | tail -n 60; exit 1; }
	@sed -nE 's/^stat::number_of_executed_units: *([0-9]+)/  $*: \1 inputs, no finding/p' $(BUILD)/$*.log

# A build in which the n-th malloc, write, send ... fails, and a program in which each of them does.
faults: ## fail each allocation, send, write ... of some scenes once, under the address sanitizer
	@$(MAKE_IN) BUILD=build/faults CFLAGS='$(ASAN_FLAGS) -DEPACT_FAULT' build/faults/test/faults
	$(UNSHUFFLED) env ASAN_OPTIONS=detect_leaks=1 build/faults/test/faults $(SCENES)

# Limits that a benchmark prints beside its figures: plain C, nothing of the library.
$(BUILD)/bench/limits.so: spec/bench/limits.c
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(QUIET)$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -fvisibility=default -shared $(LDFLAGS) -o $@ $< $(shell $(PKG_CONFIG) --libs libzmq 2>/dev/null)

bench: all $(BUILD)/bench/limits.so ## run the benchmarks one after another
	@for script in $(sort $(wildcard spec/bench/*.lua)); do echo "== $$script"; luajit $$script; done

doc: ## the reference of the Lua modules, in doc/html
	ldoc --fatalwarnings .

install: all ## copy to DESTDIR and PREFIX (LUADIR, LIBDIR, BINDIR)
	$(QUIET)for file in $(LUA_FILES); do install -Dm644 "$$file" "$(DESTDIR)$(LUADIR)/$${file#lua/}"; done
	$(QUIET)install -Dm755 $(LIBRARY) "$(DESTDIR)$(LIBDIR)/epact/native.so"
	$(QUIET)for file in $(SCRIPTS); do install -Dm755 "$$file" "$(DESTDIR)$(BINDIR)/$${file##*/}"; done

rock: ## a rock in ./lua_modules, offline, and a look whether it loads from another folder
	luarocks --lua-version 5.1 --tree ./lua_modules make rockspec/epact-scm-1.rockspec
	eval "$$(luarocks --lua-version 5.1 --tree "$$PWD/lua_modules" path)" && cd / && luajit -e 'require "epact"'

clean: ## remove what was built
	rm -rf build lua_modules doc

help: ## this list
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/\1 \2/p' Makefile | \
	  while read -r target text; do printf '  make %-9s %s\n' "$$target" "$$text"; done
