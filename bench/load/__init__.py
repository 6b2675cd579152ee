"""What a request costs through a real Envoy: ``make bench``.

`plan` says what is measured: cases, subjects, seconds. `upstream` plays the model servers, `subjects` runs what is
compared, each behind an Envoy of its own with one worker: the picker, an `echo` that decides nothing on the same
transport, any other picker (``--peer``), or nothing at all. `h2load` and `wrk` are the clients, `kernel` reads the CPU
and memory of a process, `seen` makes sure that every request was asked about.

`cost` measures CPU, `latency` what a request waits, `rest` an idle picker and its memory. What they find is in
`results`; `bounds` judges it, `table` and `page` (with `plots`) show it, beside the facts of `machine`.
"""
