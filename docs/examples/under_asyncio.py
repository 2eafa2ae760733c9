import asyncio

import bireme.aio


async def main() -> None:
    async with bireme.aio.open_runtime() as runtime:
        jobs = [runtime.run("busybox", ["sh", "-c", f"exit {number}"]) for number in range(3)]
        print(*[done.exit_status for done in await asyncio.gather(*jobs)])


asyncio.run(main())
