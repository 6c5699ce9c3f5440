# Two commands: `make demo` and `make test`. Each does all of its own set-up.

VENV ?= .venv
NODES ?= 8
RELEASE ?=
DEMO_ARGS ?=
# Who makes this machine's initramfs: whose update-initramfs is, which dracut has had since 112 and not at all before.
HOOK ?= $(if $(findstring initramfs-tools,$(shell dpkg-query --search /usr/sbin/update-initramfs 2>&1)),--initramfs-tools,--dracut)
TRUST ?= $(HOME)/.config/swarmboot/swarmboot.pub
CA ?= $(wildcard /var/lib/swarmboot/ca.pem)
PYTEST_ARGS ?=
RUNS ?= 100000
OLDEST := tests/unit/seeder tests/unit/leecher tests/unit/swarmboot $(addprefix tests/integration/,boot publish seeder stage0 trust)

python := $(VENV)/bin/python
ready := $(VENV)/.ready
export VENV

.DEFAULT_GOAL := help
.PHONY: demo-lazy screenshots fuzz test-packages test-oldest test-vm test-vm-all test-arm64 help venv demo test gate docs sample-release install-hook deb demo-vm clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

venv: $(ready) ## make the virtual environment with the pinned dependencies

$(ready): pyproject.toml constraints.txt .ci/venv
	@.ci/venv
	@touch $@

demo: $(ready) ## publish a release and boot a rack of NODES=8 from it (RELEASE=dir/ for your own)
	@$(if $(RELEASE),,.ci/packages demo)
	@$(python) -m netsim.demo --nodes $(NODES) $(if $(RELEASE),--release '$(RELEASE)') $(DEMO_ARGS)

test: ## the whole gate: format, lint, types, imports, shell, then every test
	@$(MAKE) --no-print-directory --jobs=2 gate test-packages
	@$(if $(PYTEST_ARGS),$(python) -m pytest $(PYTEST_ARGS),.ci/tests)

test-packages: ## the Debian packages that tests use; as root it installs those that are missing
	@.ci/packages test

test-oldest: ## what needs no machine, with Debian 12's own libraries in the place of the pinned ones; ten minutes
	@.ci/packages test
	@VENV=.venv-oldest .ci/venv
	@.venv-oldest/bin/python -m pip install --quiet --no-deps --disable-pip-version-check --no-input -r .ci/oldest
	@.venv-oldest/bin/python -m pytest -W ignore::DeprecationWarning -W ignore::FutureWarning \
		-W ignore::cryptography.utils.CryptographyDeprecationWarning $(if $(PYTEST_ARGS),$(PYTEST_ARGS),$(OLDEST))

test-vm: $(ready) ## of these, the tests that boot virtual machines
	@.ci/packages test
	@$(python) -m pytest -m 'vm and not vm_all' $(PYTEST_ARGS)

test-vm-all: $(ready) ## the cases on every Debian suite and initramfs generator, hours, and arm64; the table of docs/boot.md
	@.ci/packages test
	@.ci/packages test-vm-all
	@$(python) -m pytest -m vm_all $(PYTEST_ARGS)
	@cat .cache/vm/grounds.md

test-arm64: $(ready) ## of these, two arm64 machines: half an hour the first time
	@.ci/packages test
	@.ci/packages test-vm-all
	@$(python) -m pytest -m vm_all tests/system/boot/test_arm64.py $(PYTEST_ARGS)

fuzz: $(ready) ## give the decoders RUNS=100000 inputs that a coverage-guided fuzzer thinks of
	@$(python) -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt -e '.[fuzz]'
	@$(python) -m tests.fuzz --runs $(RUNS)

gate: $(ready) ## the static half of the gate, fastest first
	@.ci/gate

sample-release: $(ready) ## build the demo's release, a real Debian, into .cache/sample-release/ once
	@.ci/packages demo
	@$(python) -m netsim.demo.release

install-hook: $(ready) ## put the hook where this machine's initramfs generator finds it: TRUST=fleet.pub CA=ca.pem
	@.ci/packages hook
	@$(python) -m swarmboot hook install $(HOOK) --trust '$(TRUST)' $(if $(CA),--ca '$(CA)')

screenshots: $(ready) ## the live page as a simulated rack boots, into docs/images
	@.ci/packages screenshots
	@$(python) -m tests.system.ui.screenshots docs/images

docs: $(ready) ## build the documentation as a site into .cache/docs/; a broken link fails
	@$(python) -m tests.docs .cache/docs

deb: $(ready) ## build the Debian packages swarmboot and swarmboot-initramfs into .cache/deb/
	@.ci/deb .cache/deb

demo-vm: $(ready) ## boot two virtual machines side by side and show where their bytes came from
	@.ci/packages test
	@$(python) -m tests.system.vm.demo

demo-lazy: $(ready) ## as root: boot two machines side by side, one of them before all of its root is there
	@.ci/packages demo
	@$(python) -m netsim.demo.lazy $(DEMO_ARGS)

clean: ## remove everything these commands made
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
