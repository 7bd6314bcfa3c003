# Everything is done by tools/tasks.py, which runs without make as well: python tools/tasks.py help
PYTHON ?= $(firstword $(foreach name,python3 python python3.13 python3.12 python3.11,$(shell command -v $(name))))
RUN = @"$(PYTHON)" tools/tasks.py $@

.PHONY: help book test test-slow serve lab record bench lock repository

help book test test-slow serve lab bench:
	$(RUN)

record:
	$(RUN) $(NAME)

lock:
	$(RUN) $(OPTIONS)

repository:
	$(RUN) $(URL)
