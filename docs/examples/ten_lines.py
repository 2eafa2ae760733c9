import trio

import bireme


async def main() -> None:
    async with bireme.open_runtime() as runtime:
        db = await runtime.create("busybox", ["sleep", "60"], volumes=["/data"])
        await db.start()
        await runtime.run("busybox", ["sh", "-c", "echo one row > /data/rows"], volumes_from=[db], check=True)
        job = await runtime.run("busybox", ["cat", "/data/rows"], volumes_from=[db])
        print(job.exit_status, job.stdout, "from", db.volumes["/data"])


trio.run(main)
