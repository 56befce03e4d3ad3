# spoa-router: `make demo` shows it, `make test` proves it, `make help` lists
# what else there is. Nothing but demo, run, test, bench and deps installs
# packages.

VERSION := 1.0.0
# Headers are needed to build, not to lint the Makefile: ask when building.
PKG_CONFIG ?= pkg-config

# TLS to Redis, where libevent_openssl and OpenSSL are there to be built with;
# TLS=0 leaves it out, TLS=1 insists.
TLS_PKGS := libevent_openssl openssl
TLS      ?= $(shell $(PKG_CONFIG) --exists $(TLS_PKGS) 2>/dev/null && echo 1)
tls      := $(filter-out 0,$(TLS))

# The same for systemd's notifications and sockets.
SYSTEMD ?= $(shell $(PKG_CONFIG) --exists libsystemd 2>/dev/null && echo 1)
systemd := $(filter-out 0,$(SYSTEMD))

# And for the fence around it.
SECCOMP ?= $(shell $(PKG_CONFIG) --exists libseccomp 2>/dev/null && echo 1)
seccomp := $(filter-out 0,$(SECCOMP))

SAN     ?=
variant := $(if $(SAN),$(SAN),release)
out     := build/$(variant)$(if $(tls),,-plain)$(if $(systemd),,-alone)$(if $(seccomp),,-open)

PKGS     := libevent_core libevent_extra hiredis $(if $(tls),$(TLS_PKGS)) \
	$(if $(systemd),libsystemd) $(if $(seccomp),libseccomp)

comma    := ,
warnings := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wwrite-strings \
	-Wundef -Wvla -Wformat=2 -Wswitch-enum -Wnull-dereference \
	-Wimplicit-fallthrough
# What makes a fault end in a crash instead of in somebody's hands; how it came
# out is read from the program by test_elf.py. A package's own level of
# fortification stands.
machine  := $(shell $(CC) -dumpmachine 2>/dev/null)
hardening := -fPIE -fstack-protector-strong -fstack-clash-protection \
	$(if $(filter x86_64-%,$(machine)),-fcf-protection) \
	$(if $(filter aarch64-%,$(machine)),-mbranch-protection=standard) \
	$(if $(SAN)$(findstring _FORTIFY_SOURCE,$(CPPFLAGS)$(CFLAGS)),, \
		-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
san_coverage := --coverage -O0
san_other    := -fsanitize=address$(comma)undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
sanitize := $(if $(SAN),$(if $(filter coverage,$(SAN)),$(san_coverage), \
	$(san_other)))

# The released binary is optimised across rooms; tests link the plain code of
# the same objects, so that allocations can be made to fail.
gcc := $(shell $(CC) --version 2>/dev/null | grep -c 'Free Software')
lto := $(if $(SAN),,$(if $(filter 1,$(gcc)),-flto=auto -ffat-lto-objects))
no_lto := $(if $(lto),-fno-lto)

# The same source makes the same bytes, in whatever folder: `make reproducible`.
same := $(if $(SAN),,-ffile-prefix-map=$(CURDIR)=.)

base_cflags := -std=gnu11 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -O2 -g \
	$(warnings) $(if $(WERROR),-Werror) $(if $(tls),-DWITH_TLS) \
	$(if $(systemd),-DWITH_SYSTEMD) $(if $(seccomp),-DWITH_SECCOMP) \
	$(hardening) $(sanitize) $(lto) $(same)
base_ldflags := -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed \
	$(sanitize) $(same)
all_cflags = $(base_cflags) $(shell $(PKG_CONFIG) --cflags $(PKGS)) \
	$(CPPFLAGS) $(CFLAGS)
libs = $(shell $(PKG_CONFIG) --libs $(PKGS)) -linih -lm -pthread

# Two programs of one set of rooms: those of routectl alone are its own, and
# ctl_shared it has in common with the agent.
rooms := $(basename $(notdir $(wildcard spoa/*.c)))
ctl_own := $(filter routectl ctl ctl_%,$(rooms))
ctl_shared := guard host json listener opts opts_table redis_url redis_urls \
	route tls
agent := $(if $(SAN),$(out)/spoa-router,build/spoa-router)
routectl := $(if $(SAN),$(out)/routectl,build/routectl)
programs := $(agent) $(routectl)

.PHONY: all
all: $(programs)

# Files that the admin side serves are built in: page.css as page_css[].
assets := page_css page_js
$(assets:%=$(out)/assets/%.c): $(out)/assets/page_%.c: spoa/page.% Makefile
	@mkdir -p $(@D)
	@{ echo '#include <stddef.h>'; \
	echo 'extern const char page_$*[]; extern const size_t page_$*_size;'; \
	echo 'const char page_$*[] = {'; \
	od -An -v -to1 $< | sed "s/ \([0-7]*\)/'\\\\\1',/g"; echo '};'; \
	echo 'const size_t page_$*_size = sizeof(page_$*);'; } >$@

$(assets:%=$(out)/assets/%.o): %.o: %.c
	@$(CC) $(all_cflags) -c -o $@ $<

$(agent): $(patsubst %,$(out)/spoa/%.o,$(filter-out $(ctl_own),$(rooms))) \
	$(assets:%=$(out)/assets/%.o)
$(routectl): $(patsubst %,$(out)/spoa/%.o,$(ctl_own) $(ctl_shared))
$(routectl): PKGS += jansson

# What was built with or without a library is not taken for the other.
ifeq ($(SAN),)
stamp := build/variant-$(notdir $(out))
$(stamp):
	@mkdir -p $(@D) && rm -f $(@D)/variant-*
	@touch $@
endif

$(programs): $(stamp)
	@echo '  LD   $@'
	@$(CC) $(base_ldflags) $(lto) -O2 $(LDFLAGS) -o $@ $(filter %.o,$^) $(libs)

$(out)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo '  CC   $<'
	@$(CC) $(all_cflags) -MMD -MP -c -o $@ $<

-include $(wildcard $(out)/*/*.d $(out)/*/*/*.d)

# A unit test links its own room and the rooms named here, nothing else: the
# linker proves the layers.
unit_rooms := spop session hash host route balance guard slab cache sweep \
	resolver sieve redis_url opts log listener bad_routes json metrics \
	html pace
unit_rooms += lent lender pulse names due roster report
unit_rooms += fence
unit_rooms += hold preload redis_reply redis_wire replicas reserve
links_slab := pages
links_cache := entries hash pages slab
links_redis_reply := redis_url sieve
links_redis_wire := log loop redis_reply redis_url sieve tls
links_replicas := redis_reply redis_url
links_preload := cache log $(links_cache)
links_hold := hash log
unit_rooms += checker dns_cache events feedback health
# Those whose loop has a clock of the test's own.
clocked := checker dns_cache feedback health redis_wire
links_checker := log loop
links_dns_cache := hash log loop
links_events := json log route
links_feedback := listener log loop report
links_health := checker due guard hash log loop names pulse roster route
unit_rooms += ctl_front ctl_hipache ctl_lines ctl_opts ctl_pairs ctl_report \
	ctl_render ctl_words
links_ctl_render := ctl_report json
links_ctl_opts := opts opts_table
links_ctl_report := json
links_session := spop
links_opts := opts_table
links_roster := due hash names pulse
links_bad_routes := hash log route
links_sweep := cache $(links_cache)
links_routes := balance cache guard route session spop $(links_cache)
links_balance := route
links_pace := metrics
links_resolver := flights host sweep walk routes $(links_routes)
links_lent := hash
links_lender := lent resolver $(links_resolver)
unit_tests := $(unit_rooms:%=$(out)/tests/unit/test_%)
wraps := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup \
	-Wl,--wrap=slab_alloc,--wrap=pages_map
unit_libs = $(wraps) $(shell $(PKG_CONFIG) --libs cmocka jansson) $(libs)

.SECONDEXPANSION:
$(unit_tests): $(out)/tests/unit/test_%: $(out)/tests/unit/test_%.o \
		$(out)/tests/unit/kit.o $(out)/spoa/%.o \
		$$(if $$(filter $$*,$(clocked)),$(out)/tests/unit/clock.o) \
		$$(addprefix $(out)/spoa/,$$(addsuffix .o,$$(links_$$*)))
	@echo '  LD   $@'
	@$(CC) $(base_ldflags) $(no_lto) $(LDFLAGS) -o $@ $^ $(unit_libs)

# A fuzz target links of the rooms whatever it needs.
fuzz_targets := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard \
	tests/fuzz/fuzz_*.c))
fuzz_rooms := $(filter-out main routectl,$(rooms))
replays := $(fuzz_targets:%=$(out)/tests/fuzz/replay_%)

$(out)/rooms.a: $(fuzz_rooms:%=$(out)/spoa/%.o) $(assets:%=$(out)/assets/%.o)
	@rm -f $@ && $(AR) rcs $@ $^

$(replays): $(out)/tests/fuzz/replay_%: $(out)/tests/fuzz/fuzz_%.o \
		$(out)/tests/fuzz/replay.o $(out)/rooms.a
	@echo '  LD   $@'
	@$(CC) $(base_ldflags) $(no_lto) $(LDFLAGS) -o $@ $^ $(libs)

.PHONY: unit
unit: $(unit_tests) $(replays)

# Fuzzes each target for a while; what is new goes to build/fuzz/corpus.
FUZZ_SECONDS ?= 60
fuzz_kinds := fuzz cover
fuzz_flags := -std=gnu11 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -g \
	$(warnings) -Wno-cast-qual -Wno-gnu-variable-sized-type-not-at-end \
	$(if $(tls),-DWITH_TLS) $(if $(systemd),-DWITH_SYSTEMD) \
	$(if $(seccomp),-DWITH_SECCOMP)
flags_fuzz := -O1 -fsanitize=fuzzer-no-link$(comma)address$(comma)undefined \
	-fno-sanitize-recover=all
flags_cover := -O0 -fprofile-instr-generate -fcoverage-mapping \
	-fsanitize=fuzzer-no-link
fuzzers := $(foreach kind,$(fuzz_kinds),$(fuzz_targets:%=build/$(kind)/fuzz_%))

# $(1): fuzz, with sanitizers, or cover, which counts lines
define fuzz_rules
build/$(1)/%.o: %.c Makefile
	@mkdir -p $$(@D)
	@clang $$(fuzz_flags) $$(flags_$(1)) -MMD -MP -c -o $$@ $$<

build/$(1)/rooms.a: $$(fuzz_rooms:%=build/$(1)/spoa/%.o) \
		$(assets:%=$(out)/assets/%.o)
	@rm -f $$@ && $$(AR) rcs $$@ $$^

$$(fuzz_targets:%=build/$(1)/fuzz_%): build/$(1)/fuzz_%: \
		build/$(1)/tests/fuzz/fuzz_%.o build/$(1)/rooms.a
	@echo '  LD   $$@'
	@clang $$(flags_$(1)) -fsanitize=fuzzer -o $$@ $$^ $$(libs)

-include $$(wildcard build/$(1)/spoa/*.d build/$(1)/tests/fuzz/*.d)
endef
$(foreach kind,$(fuzz_kinds),$(eval $(call fuzz_rules,$(kind))))

.PHONY: fuzz
fuzz: $(filter build/fuzz/%,$(fuzzers))
	@tests/fuzz/run.sh $(FUZZ_SECONDS) $(fuzz_targets)

# What the kept inputs reach of the rooms that read what strangers send.
.PHONY: fuzz-cover
fuzz-cover: $(filter build/cover/%,$(fuzzers))
	@tests/fuzz/cover.py

.PHONY: test
test:
	@tests/deps.sh build demo test
	@$(MAKE) --no-print-directory all unit
	@SPOA_ROUTER=$(agent) tests/run.py $(out) $(TESTS)

# Each access to memory looked at by valgrind, in the tests that wait for facts:
# half an hour.
memchecked := spop spop_random host route admin push snapshot preload \
	sentinel targets reload stop faults_redis

.PHONY: memcheck
memcheck:
	@tests/deps.sh build demo test memcheck
	@$(MAKE) --no-print-directory all unit
	@SPOA_ROUTER=$(agent) VALGRIND=1 EMULATOR='valgrind -q --error-exitcode=99 \
		--leak-check=full --errors-for-leak-kinds=definite' tests/run.py $(out) \
		$(or $(TESTS),-k '$(subst $() , or ,$(memchecked:%=test_%.py))')

# The quick checks of one who changes something: installs nothing.
.PHONY: check
check: lint unit
	@tests/run.py $(out) --unit

sources := $(wildcard spoa/*.c)
formatted = $(wildcard spoa/*.[ch] tests/*/*.[ch])
scripts = .ci/run $(shell find . \( -name build -o -name .git \) -prune -o \
	\( -name '*.sh' -o -name '*.bash-completion' \) -print | LC_ALL=C sort)

.PHONY: lint
lint:
	@clang-format --dry-run -Werror $(formatted)
	@tests/lint/layers.py
	@tests/lint/sizes.py
	@clang-tidy --quiet $(sources) -- $(all_cflags) 2>/dev/null
	@cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr \
		--enable=warning,performance,portability \
		--suppress=missingIncludeSystem --suppress=uninitvar \
		--suppress=normalCheckLevelMaxBranches \
		-D_GNU_SOURCE spoa
	@for c in $(sources); do $(CC) $(all_cflags) -Werror -fanalyzer \
		-Wno-analyzer-malloc-leak -c -o /dev/null $$c || exit 1; done
	@shellcheck -x $(scripts)
	@echo 'lint: clean'

.PHONY: format
format:
	clang-format -i $(formatted)

# HAPROXY=/a,/b names the HAProxys to show and test; the default is any found.
.PHONY: demo
demo:
	@tests/deps.sh build demo
	@$(MAKE) --no-print-directory all
	@SPOA_ROUTER=$(agent) tests/demo/demo.py

.PHONY: run
run:
	@tests/deps.sh build demo
	@$(MAKE) --no-print-directory all
	@SPOA_ROUTER=$(agent) tests/demo/demo.py --run

# Figures, not tests: see tests/bench/README.md.
bench_programs := $(addprefix $(out)/tests/bench/,floor load worker)

$(bench_programs): %: %.o
	@echo '  LD   $@'
	@$(CC) $(base_ldflags) $(no_lto) $(LDFLAGS) -o $@ $^ $(libs)

.PHONY: bench
bench:
	@tests/deps.sh build bench
	@$(MAKE) --no-print-directory all $(bench_programs)
	@SPOA_ROUTER=$(agent) tests/bench/bench.py $(out)

# What no test can show: see tests/proofs/. CBMC comes from Debian 13, unpacked.
build/peers/cbmc:
	@tests/get-peers.sh trixie $@ cbmc

.PHONY: prove
prove: | build/peers/cbmc
	@tests/deps.sh prove
	@tests/proofs/run.sh

# Lines, then branches that the tests reach, by room; TESTS=--unit: unit tests
# and kept inputs alone.
.PHONY: coverage
coverage:
	@tests/deps.sh build demo test coverage
	@find build -name '*.gcda' -delete
	@$(MAKE) --no-print-directory SAN=coverage all unit
	@tests/run.py build/coverage $(TESTS)
	@for kind in "" --branches; do \
		gcovr --root . --filter spoa/ $$kind build/coverage; \
	done

# Hours of faults; what comes of it is in build/soak: see tests/soak/README.md.
HOURS ?= 1
.PHONY: soak
soak:
	@tests/deps.sh build demo soak
	@$(MAKE) --no-print-directory all
	@SPOA_ROUTER=$(agent) HOURS=$(HOURS) tests/soak/soak.py build/soak

# The unit tests as built for other machines, and for another Debian.
.PHONY: cross
cross:
	@tests/deps.sh build cross
	@tests/cross.py $(BUILDS)

# Other HAProxys, Redises and Valkeys of Debian, unpacked: the tests find them.
build/peers/trixie:
	@tests/get-peers.sh trixie $@ haproxy redis-server valkey-server
build/peers/forky:
	@tests/get-peers.sh forky $@ haproxy valkey-server

.PHONY: peers
peers: | build/peers/trixie build/peers/forky

# Each HAProxy, Redis, compiler and machine: a table for tests/README.md.
.PHONY: matrix
matrix: | $(if $(HAPROXY),,peers)
	@tests/deps.sh build demo test matrix cross
	@$(MAKE) --no-print-directory all
	@SPOA_ROUTER=$(agent) tests/matrix.py build --write

.PHONY: deps
deps:
	@tests/deps.sh build demo test lint

# What is installed: its mode, the file, and where to. The units and what
# belongs to them are those of the Debian package, which installs them itself.
PREFIX  ?= /usr/local
SYSCONF ?= /etc
UNITS   ?= 1
examples := $(wildcard haproxy/*.c*)
units    := $(wildcard debian/*.service debian/*.socket)
conf     := $(SYSCONF)/spoa-router/spoa-router.conf
doc      := $(PREFIX)/share/doc/spoa-router
placed = \
	755:$(agent):$(PREFIX)/sbin/spoa-router \
	755:$(routectl):$(PREFIX)/bin/routectl \
	644:docs/man/spoa-router.8:$(PREFIX)/share/man/man8/spoa-router.8 \
	644:docs/man/spoa-router.conf.5:$(PREFIX)/share/man/man5/spoa-router.conf.5 \
	644:docs/man/routectl.1:$(PREFIX)/share/man/man1/routectl.1 \
	644:spoa/routectl.bash-completion:$(PREFIX)/share/bash-completion/completions/routectl \
	644:README.md:$(doc)/README.md \
	$(foreach f,$(wildcard docs/*.md),644:$f:$(doc)/$f) \
	$(foreach f,$(wildcard docs/examples/*.sh),755:$f:$(doc)/examples/$(notdir $f)) \
	$(foreach f,$(examples),644:$f:$(doc)/examples/$(notdir $f))
placed_units = \
	$(foreach f,$(units),644:$f:$(PREFIX)/lib/systemd/system/$(notdir $f)) \
	644:debian/spoa-router.sysusers:$(PREFIX)/lib/sysusers.d/spoa-router.conf \
	644:debian/spoa-router.tmpfiles:$(PREFIX)/lib/tmpfiles.d/spoa-router.conf
all_placed = $(placed) $(if $(filter-out 0,$(UNITS)),$(placed_units))
each_placed = set -e; for row in $(all_placed); do \
	mode=$${row%%:*} to='$(DESTDIR)'$${row\#\#*:} from=$${row\#*:} from=$${from%:*};

# An edited configuration is never replaced, nor removed.
.PHONY: install
install: all
	@$(each_placed) install -D -m $$mode $$from $$to; done
	@[ '$(UNITS)' = 0 ] || sed -i 's|/usr/sbin/spoa-router|$(PREFIX)/sbin/spoa-router|' \
		$(units:debian/%=$(DESTDIR)$(PREFIX)/lib/systemd/system/%)
	@[ -e $(DESTDIR)$(conf) ] || install -D -m 644 docs/spoa-router.conf $(DESTDIR)$(conf)

.PHONY: uninstall
uninstall:
	@$(each_placed) rm -f $$to; done
	@! cmp -s docs/spoa-router.conf $(DESTDIR)$(conf) || rm $(DESTDIR)$(conf)
	@for d in $(dir $(conf)) $(doc)/docs $(doc)/examples $(doc); do \
		rmdir $(DESTDIR)$$d 2>/dev/null || true; done

# The Debian package, made from a copy of the sources, in build/deb.
.PHONY: deb
deb:
	@tests/deps.sh build deb
	@debian/build.sh $(VERSION)

# What the programs are made of, as SPDX 2.3.
.PHONY: sbom
sbom: all
	@CC='$(CC)' debian/sbom.py $(VERSION) '$(sort $(PKGS) jansson inih)' $(programs) \
		>build/spoa-router.spdx.json
	@ls build/spoa-router.spdx.json

# The sources of the last commit: the same commit makes the same bytes.
dist := spoa-router-$(VERSION)

.PHONY: dist
dist:
	@[ -e .git ] || { echo 'dist: this is no clone of the repository' >&2; exit 1; }
	@git diff --quiet HEAD || echo 'dist: what is not committed is left out' >&2
	@mkdir -p build
	@git -c tar.umask=0022 archive --prefix=$(dist)/ -o build/$(dist).tar HEAD
	@gzip -9nf build/$(dist).tar
	@ls build/$(dist).tar.gz

# Builds twice, in two folders and two worlds, and compares every byte.
.PHONY: reproducible
reproducible:
	@debian/reproducible.sh

# The package on fresh Debian 12 and 13 with systemd, and the containers: see
# tests/README.md.
.PHONY: test-deb
test-deb:
	@tests/deps.sh boot
	@tests/deb/run.sh

.PHONY: test-docker
test-docker:
	@tests/docker/run.sh

.PHONY: help
help:
	@echo 'make         build build/spoa-router and build/routectl'
	@echo 'make demo    install what is missing, build, show it at work'
	@echo 'make run     the same, and stay in the foreground on port 8000'
	@echo 'make test    install what is missing, run every test'
	@echo 'make coverage the lines and branches that the tests reach'
	@echo 'make prove   proofs of the pure rooms, a model of the resolver'
	@echo 'make soak HOURS=1  all of it under load and faults; see tests/soak/README.md'
	@echo 'make matrix  a few tests with each HAProxy, Redis, compiler and machine'
	@echo 'make peers   unpack the HAProxys, Redis and Valkeys of other Debians'
	@echo 'make cross   unit tests for BUILDS="arm64 armhf s390x trixie", under qemu'
	@echo 'make memcheck  tests under valgrind'
	@echo 'make check   lint and unit tests; installs nothing'
	@echo 'make lint    format, layers, sizes, clang-tidy, cppcheck, analyzer'
	@echo 'make bench   install what is missing, measure; see tests/bench/README.md'
	@echo 'make fuzz    fuzz for FUZZ_SECONDS=60 a target'
	@echo 'make fuzz-cover  the lines that the kept inputs reach'
	@echo 'make format  let clang-format rewrite the sources'
	@echo 'make install   to PREFIX=/usr/local, below DESTDIR; uninstall undoes it'
	@echo 'make deb     make the Debian package, in build/deb'
	@echo 'make dist    the sources as build/$(dist).tar.gz'
	@echo 'make sbom    what the programs are made of, as SPDX, in build/'
	@echo 'make reproducible  build twice, compare every byte'
	@echo 'make test-deb     as root: install and use it on fresh Debian 12 and 13'
	@echo 'make test-docker  build the image, use docker-compose.yml'
	@echo 'make deps    install all that building and testing need'
	@echo 'make clean   remove build/'
	@echo 'Variables: HAPROXY=/a,/b  SAN=address  TLS=0  SYSTEMD=0  SECCOMP=0  WERROR=1  CC  CFLAGS  TESTS'

.PHONY: clean
clean:
	rm -rf build
