"""The one function that runs parallel loops, and its place in the process.

In: nothing.   Out: `PARALLEL_FOR`, the symbol that kernels call; the text of the function.

    gw_parallel_for(body, ctx, start, stop, step, grain, unit)

runs `body(ctx, begin, end)` over parts of `[start, stop)`: all at once on the calling thread if there are fewer than two
grains of iterations, if one thread is all there is, or if the caller already runs in a parallel region; otherwise one part on
each thread of the OpenMP runtime that torch uses, so that both share one pool (and `torch.set_num_threads` holds for both).
Parts are whole numbers of steps, and of `unit` steps but for the last. The team has always the full number of threads, since
libgomp ends the surplus threads of a smaller team, and makes new ones for the next: threads without a part do nothing.
Where there is no such runtime, the whole loop runs on the calling thread.
"""

from __future__ import annotations

from typing import Final

PARALLEL_FOR: Final = "gw_parallel_for"

RUNTIME_FUNCTIONS: Final = {
    "gw_run_team": "GOMP_parallel",
    "gw_thread_number": "omp_get_thread_num",
    "gw_num_threads": "omp_get_num_threads",
    "gw_max_threads": "omp_get_max_threads",
    "gw_is_in_parallel": "omp_in_parallel",
}
"""What the function calls: symbol → name in the OpenMP runtime."""

PARALLEL_TEXT: Final = """\
%task = type { ptr, ptr, i64, i64, i64, i64, i64, i64 }

declare void @gw_run_team(ptr, ptr, i32, i32)
declare i32 @gw_thread_number()
declare i32 @gw_num_threads()
declare i32 @gw_max_threads()
declare i32 @gw_is_in_parallel()
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)

define void @gw_parallel_for(ptr %body, ptr %ctx, i64 %start, i64 %stop, i64 %step, i64 %grain, i64 %unit) {
entry:
  %task = alloca %task
  %length = sub i64 %stop, %start
  %padded = add i64 %length, %step
  %rounded = sub i64 %padded, 1
  %count = sdiv i64 %rounded, %step
  %least = shl i64 %grain, 1
  %is_large = icmp sge i64 %count, %least
  br i1 %is_large, label %ask, label %alone
ask:
  %threads = call i32 @gw_max_threads()
  %has_threads = icmp sgt i32 %threads, 1
  br i1 %has_threads, label %ask_nested, label %alone
ask_nested:
  %nested = call i32 @gw_is_in_parallel()
  %is_free = icmp eq i32 %nested, 0
  br i1 %is_free, label %together, label %alone
together:
  %f1 = getelementptr %task, ptr %task, i32 0, i32 1
  %f2 = getelementptr %task, ptr %task, i32 0, i32 2
  %f3 = getelementptr %task, ptr %task, i32 0, i32 3
  %f4 = getelementptr %task, ptr %task, i32 0, i32 4
  %f5 = getelementptr %task, ptr %task, i32 0, i32 5
  %f6 = getelementptr %task, ptr %task, i32 0, i32 6
  %f7 = getelementptr %task, ptr %task, i32 0, i32 7
  store ptr %body, ptr %task
  store ptr %ctx, ptr %f1
  store i64 %start, ptr %f2
  store i64 %stop, ptr %f3
  store i64 %step, ptr %f4
  store i64 %grain, ptr %f5
  store i64 %unit, ptr %f6
  store i64 %count, ptr %f7
  call void @gw_run_team(ptr @gw_parallel_part, ptr %task, i32 0, i32 0)
  ret void
alone:
  %is_any = icmp slt i64 %start, %stop
  br i1 %is_any, label %run, label %done
run:
  call void %body(ptr %ctx, i64 %start, i64 %stop)
  br label %done
done:
  ret void
}

define private void @gw_parallel_part(ptr %task) {
entry:
  %f1 = getelementptr %task, ptr %task, i32 0, i32 1
  %f2 = getelementptr %task, ptr %task, i32 0, i32 2
  %f3 = getelementptr %task, ptr %task, i32 0, i32 3
  %f4 = getelementptr %task, ptr %task, i32 0, i32 4
  %f5 = getelementptr %task, ptr %task, i32 0, i32 5
  %f6 = getelementptr %task, ptr %task, i32 0, i32 6
  %f7 = getelementptr %task, ptr %task, i32 0, i32 7
  %body = load ptr, ptr %task
  %ctx = load ptr, ptr %f1
  %start = load i64, ptr %f2
  %stop = load i64, ptr %f3
  %step = load i64, ptr %f4
  %grain = load i64, ptr %f5
  %unit = load i64, ptr %f6
  %count = load i64, ptr %f7
  %threads32 = call i32 @gw_num_threads()
  %thread32 = call i32 @gw_thread_number()
  %threads = sext i32 %threads32 to i64
  %thread = sext i32 %thread32 to i64
  %grains = sdiv i64 %count, %grain
  %useful = call i64 @llvm.smax.i64(i64 %grains, i64 1)
  %parts = call i64 @llvm.smin.i64(i64 %threads, i64 %useful)
  %divisor = mul i64 %parts, %unit
  %padded = add i64 %count, %divisor
  %rounded = sub i64 %padded, 1
  %units = sdiv i64 %rounded, %divisor
  %part = mul i64 %units, %unit
  %width = mul i64 %part, %step
  %offset = mul i64 %thread, %width
  %begin = add i64 %start, %offset
  %after = add i64 %begin, %width
  %end = call i64 @llvm.smin.i64(i64 %after, i64 %stop)
  %is_any = icmp slt i64 %begin, %end
  br i1 %is_any, label %run, label %done
run:
  call void %body(ptr %ctx, i64 %begin, i64 %end)
  br label %done
done:
  ret void
}
"""

ALONE_TEXT: Final = """\
define void @gw_parallel_for(ptr %body, ptr %ctx, i64 %start, i64 %stop, i64 %step, i64 %grain, i64 %unit) {
entry:
  %is_any = icmp slt i64 %start, %stop
  br i1 %is_any, label %run, label %done
run:
  call void %body(ptr %ctx, i64 %start, i64 %stop)
  br label %done
done:
  ret void
}
"""
"""The same function where the process has no OpenMP runtime."""
