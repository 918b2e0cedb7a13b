# What is compiled: the BPF program, the lab's and tests' BPF helpers, the addon, the JavaScript. `npm run build` calls this.

NODE_ARCH   := $(if $(filter aarch64,$(shell uname -m)),arm64,x64)
BPF_ARCH    := $(if $(filter aarch64,$(shell uname -m)),arm64,x86)
MULTIARCH   := $(shell gcc -print-multiarch)
CLANG       ?= clang
BIN         := node_modules/.bin

# v3 (32-bit registers and jumps) is understood by every kernel that the project supports.
BPF_CFLAGS  := -O2 -g -Wall -Wextra -Werror -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) -I/usr/include/$(MULTIARCH)
ADDON_FLAGS := -std=c++20 -O2 -fPIC -Wall -Wextra -Werror -fvisibility=hidden -fexceptions -DNAPI_VERSION=9 \
               -DNODE_ADDON_API_DISABLE_DEPRECATED -DNODE_ADDON_API_CPP_EXCEPTIONS -DBUILDING_NODE_EXTENSION \
               -isystem node_modules/node-addon-api -isystem node_modules/node-linux-$(NODE_ARCH)/include/node

BPF_HEADERS := $(wildcard bpf/*.h)
# Sixteen hex digits that change with every shared struct, whatever its size.
FINGERPRINT := -DPF_LAYOUT_FINGERPRINT=0x$(shell sha256sum bpf/layout.h | cut -c1-16)ULL
ADDON_SRC   := $(wildcard native/*.cc)
ADDON_OBJ   := $(ADDON_SRC:native/%.cc=build/native/%.o)
LAB_BPF     := $(patsubst lab/%.bpf.c,build/lab/%.bpf.o,$(wildcard lab/*.bpf.c))
BENCH_BPF   := $(patsubst bench/bpf/%.bpf.c,build/bench/%.bpf.o,$(wildcard bench/bpf/*.bpf.c))

.PHONY: all bpf addon dist clean

all: bpf addon dist

bpf: build/pilotfish.bpf.o build/pilotfish-trace.bpf.o build/clock.bpf.o build/pass.bpf.o $(LAB_BPF) $(BENCH_BPF) src/dataplane/layout.gen.ts

build/pilotfish.bpf.o: bpf/pilotfish.bpf.c $(BPF_HEADERS)
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -Wpadded -fsyntax-only -x c bpf/layout.h
	$(CLANG) $(BPF_CFLAGS) $(FINGERPRINT) -c $< -o $@

build/pilotfish-trace.bpf.o: bpf/pilotfish.bpf.c $(BPF_HEADERS)
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) $(FINGERPRINT) -DPF_TRACING=1 -c $< -o $@

build/clock.bpf.o build/pass.bpf.o: build/%.bpf.o: bpf/%.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@

build/lab/%.bpf.o: lab/%.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@

build/bench/%.bpf.o: bench/bpf/%.bpf.c $(wildcard bench/bpf/*.h)
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@

# Committed, so that a reader and the type checker have it without a compiler; CI fails when the build changes it.
src/dataplane/layout.gen.ts: build/pilotfish.bpf.o scripts/gen-layout.ts
	$(BIN)/node scripts/gen-layout.ts $< bpf/layout.h src/dataplane/layout.gen.ts

addon: build/pilotfish.node

build/native/%.o: native/%.cc $(wildcard native/*.h)
	@mkdir -p $(@D)
	$(CXX) $(ADDON_FLAGS) -c $< -o $@

build/pilotfish.node: $(ADDON_OBJ)
	$(CXX) -shared -o $@ $^ -lbpf

dist: dist/.stamp

dist/.stamp: $(shell find src -name '*.ts') src/dataplane/layout.gen.ts tsconfig.json tsconfig.build.json
	$(BIN)/tsc -p tsconfig.build.json
	@touch $@

clean:
	rm -rf build dist
