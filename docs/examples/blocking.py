import bireme.blocking

with bireme.blocking.open_runtime() as runtime:
    done = runtime.run("busybox", ["tr", "a-z", "A-Z"], stdin=b"hello\n")
    print(done.exit_status, done.stdout)
