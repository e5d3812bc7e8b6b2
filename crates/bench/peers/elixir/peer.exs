# Elixir's Registry and Supervisor, for foundation's benchmarks.
#
# Writes a line `ROW<tab>PEER` for each row that it can measure, then an empty one; then answers each line
# `ROW<tab>OPERATIONS` with how many nanoseconds they took, or with `discarded NANOSECONDS` if two processes that were to
# run side by side did not. Ends with its input. Everything is compiled (a script's top level would be interpreted).

defmodule Echo do
  use GenServer

  def start_link(options), do: GenServer.start_link(__MODULE__, options[:tell], Keyword.take(options, [:name]))

  def child_spec(options),
    do: %{id: options[:id] || __MODULE__, start: {__MODULE__, :start_link, [options]}, restart: options[:restart] || :permanent}

  def init(tell) do
    if tell, do: send(tell, {:started, self()})
    {:ok, nil}
  end

  def handle_call(:ask, _from, state), do: {:reply, 1, state}
  def handle_cast(:ping, state), do: {:noreply, state}
end

defmodule Peer do
  @rows [
    {"lookup_1t", "Elixir Registry"},
    {"lookup_2t_own_names", "Elixir Registry"},
    {"lookup_2t_same_name", "Elixir Registry"},
    {"lookup_random_100k", "Elixir Registry"},
    {"via_cast", "Elixir GenServer.cast through Registry"},
    {"via_call", "Elixir GenServer.call through Registry"},
    {"register_unregister", "Elixir Registry"},
    {"cleanup_10", "Elixir Supervisor.stop, DynamicSupervisor"},
    {"cleanup_1000", "Elixir Supervisor.stop, DynamicSupervisor"},
    {"spawn_named", "Elixir GenServer.start_link in Registry"},
    {"supervise_named", "Elixir DynamicSupervisor, in Registry"},
    {"restart", "Elixir Supervisor"}
  ]
  # Where poolboy is installed, such as by Debian's package erlang-poolboy.
  @pool_rows [
    {"pool_call_1_caller", "Elixir, poolboy transaction"},
    {"pool_call_16_callers", "Elixir, poolboy transaction"}
  ]
  @crowd 100_000
  @asked 4_096
  @window 1_024
  @round 256

  def main do
    {:ok, _} = Registry.start_link(keys: :unique, name: R, partitions: System.schedulers_online())
    rows = if Code.ensure_loaded?(:poolboy), do: @rows ++ @pool_rows, else: @rows
    Enum.each(rows, fn {row, peer} -> IO.write("#{row}\t#{peer}\n") end)
    IO.write("\n")
    answer(%{})
  end

  defp answer(set_up) do
    case IO.gets("") do
      line when is_binary(line) ->
        [row, operations] = line |> String.trim() |> String.split("\t")
        set_up = Map.put_new_lazy(set_up, row, fn -> set_up(row) end)

        case measure(row, set_up[row], String.to_integer(operations)) do
          {:discarded, took} -> IO.write("discarded #{took}\n")
          took -> IO.write("#{took}\n")
        end

        answer(set_up)

      _ ->
        :ok
    end
  end

  # ---- what a row needs, made when it is first asked for ----

  defp set_up("lookup_random_100k") do
    keep(fn -> Enum.each(1..@crowd, fn n -> {:ok, _} = Registry.register(R, "crowd-#{n}", nil) end) end)
    :rand.seed(:exsss, {1, 2, 3})
    List.to_tuple(for _ <- 1..@asked, do: "crowd-#{:rand.uniform(@crowd)}")
  end

  defp set_up("lookup_" <> _ = row), do: for(n <- 1..2, do: start_echo("#{row}-#{n}"))
  defp set_up("via_" <> _ = row), do: {:via, Registry, {R, start_echo(row)}}

  defp set_up("supervise_named") do
    {:ok, supervisor} = DynamicSupervisor.start_link(strategy: :one_for_one)
    supervisor
  end

  defp set_up("restart") do
    child = {Echo, name: {:via, Registry, {R, "phoenix"}}, tell: self()}
    {:ok, _} = Supervisor.start_link([child], strategy: :one_for_one, max_restarts: 1_000_000, max_seconds: 1)
    next_start()
  end

  defp set_up("pool_call_" <> callers) do
    {:ok, pool} = :poolboy.start_link([worker_module: Echo, size: 8, max_overflow: 0], [])
    {count, _} = Integer.parse(callers)
    {pool, count}
  end

  defp set_up(_), do: nil

  defp start_echo(name) do
    {:ok, _} = Echo.start_link(name: {:via, Registry, {R, name}})
    name
  end

  # A process that registers names and holds them.
  defp keep(register) do
    parent = self()

    spawn_link(fn ->
      register.()
      send(parent, :kept)
      Process.sleep(:infinity)
    end)

    receive do: (:kept -> :ok)
  end

  # ---- the rows ----

  defp measure("lookup_1t", [name | _], operations), do: timed(fn -> lookup(name, operations) end)
  defp measure("lookup_2t_own_names", [one, other], operations), do: paired(one, other, operations)
  defp measure("lookup_2t_same_name", [name | _], operations), do: paired(name, name, operations)
  defp measure("lookup_random_100k", names, operations), do: timed(fn -> lookup_each(names, operations) end)
  defp measure("via_cast", via, operations), do: timed(fn -> cast(via, operations) end)
  defp measure("via_call", via, operations), do: timed(fn -> call(via, operations) end)
  defp measure("register_unregister", _, operations), do: timed(fn -> register(operations) end)
  defp measure("cleanup_" <> children, _, operations), do: clean_up(String.to_integer(children), operations, 0)
  defp measure("spawn_named", _, operations), do: rounds(operations, &spawn_named/1, &GenServer.stop/1, 0)

  defp measure("supervise_named", supervisor, operations) do
    start = fn n ->
      child = {Echo, name: {:via, Registry, {R, "bench-#{n}"}}, restart: :temporary}
      {:ok, pid} = DynamicSupervisor.start_child(supervisor, child)
      pid
    end

    rounds(operations, start, &DynamicSupervisor.terminate_child(supervisor, &1), 0)
  end

  defp measure("restart", _, operations), do: timed(fn -> kill(operations) end)

  defp measure("pool_call_" <> _, {pool, callers}, operations) do
    timed(fn ->
      tasks = for caller <- 1..callers, do: Task.async(fn -> transact(pool, div(operations + caller - 1, callers)) end)
      Task.await_many(tasks, :infinity)
    end)
  end

  defp transact(_, 0), do: :ok

  defp transact(pool, n) do
    1 = :poolboy.transaction(pool, &GenServer.call(&1, :ask))
    transact(pool, n - 1)
  end

  defp lookup(_, 0), do: :ok

  defp lookup(name, n) do
    [{_, _}] = Registry.lookup(R, name)
    lookup(name, n - 1)
  end

  defp lookup_each(_, 0), do: :ok

  defp lookup_each(names, n) do
    [{_, _}] = Registry.lookup(R, elem(names, rem(n, @asked)))
    lookup_each(names, n - 1)
  end

  defp cast(_, 0), do: :ok

  defp cast(via, n) do
    window = min(n, @window)
    Enum.each(1..window, fn _ -> GenServer.cast(via, :ping) end)
    1 = GenServer.call(via, :ask)
    cast(via, n - window)
  end

  defp call(_, 0), do: :ok

  defp call(via, n) do
    1 = GenServer.call(via, :ask)
    call(via, n - 1)
  end

  defp register(0), do: :ok

  defp register(n) do
    {:ok, _} = Registry.register(R, "registered", nil)
    Registry.unregister(R, "registered")
    register(n - 1)
  end

  defp kill(0), do: :ok

  defp kill(n) do
    [{pid, _}] = Registry.lookup(R, "phoenix")
    Process.exit(pid, :kill)
    registered(next_start())
    kill(n - 1)
  end

  # A process reports its start when its name is registered already.
  defp next_start, do: receive(do: ({:started, pid} -> pid))

  defp registered(pid), do: [{^pid, _}] = Registry.lookup(R, "phoenix")

  defp spawn_named(n) do
    {:ok, pid} = Echo.start_link(name: {:via, Registry, {R, "bench-#{n}"}})
    pid
  end

  defp clean_up(_, 0, took), do: took

  defp clean_up(children, n, took) do
    {:ok, supervisor} = DynamicSupervisor.start_link(strategy: :one_for_one)
    Enum.each(1..children, fn _ -> {:ok, _} = DynamicSupervisor.start_child(supervisor, {Echo, []}) end)
    stop = timed(fn -> DynamicSupervisor.stop(supervisor) end)
    clean_up(children, n - 1, took + stop)
  end

  # So many live at once; then they are stopped, which is not measured.
  defp rounds(0, _, _, took), do: took

  defp rounds(n, start, stop, took) do
    round = min(n, @round)
    me = self()
    starts = fn -> send(me, {:pids, Enum.map(1..round, start)}) end
    took = took + timed(starts)
    receive do: ({:pids, pids} -> Enum.each(pids, stop))
    Enum.each(1..round, &unregistered/1)
    rounds(n - round, start, stop, took)
  end

  # The registry gives a name back when it hears of the exit.
  defp unregistered(n) do
    if Registry.lookup(R, "bench-#{n}") != [] do
      :erlang.yield()
      unregistered(n)
    end
  end

  # ---- time ----

  defp timed(work) do
    begun = now()
    work.()
    now() - begun
  end

  defp paired(one, other, operations) do
    tasks =
      for name <- [one, other] do
        Task.async(fn ->
          receive do: (:go -> :ok)
          begun = now()
          lookup(name, operations)
          {begun, now()}
        end)
      end

    Enum.each(tasks, &send(&1.pid, :go))
    [{b1, e1}, {b2, e2}] = Enum.map(tasks, &Task.await(&1, :infinity))
    mean = div(e1 - b1 + e2 - b2, 2)
    overlap = min(e1, e2) - max(b1, b2)
    if overlap * 4 >= max(e1 - b1, e2 - b2) * 3, do: mean, else: {:discarded, mean}
  end

  defp now, do: System.monotonic_time(:nanosecond)
end

Peer.main()
