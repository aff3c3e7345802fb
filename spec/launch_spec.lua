--- `epact launch` on this machine. (Other machines: spec/ssh_spec.lua.)
local process = require "support.process"

local function script(text)
  local name = process.temporary(text)
  finally(function() os.remove(name) end)
  return name
end

local function run(arguments, seconds)
  return process.run("lua/epact/bin/epact " .. arguments, { paths = true, seconds = seconds or 60 })
end

describe("epact launch --local", function()
  it("gives every process its place, prefixes its lines and ends with 0", function()
    local output, code = run("launch --local 3 " .. script [[
      io.stdout:write(os.getenv "EPACT_RANK", " of ", os.getenv "EPACT_SIZE", " ", arg[1], "\n")
      io.stderr:write "no newline at the end"]] .. " word")
    assert.equal(0, code)
    for rank = 0, 2 do
      assert.matches(("%%[%d%%] %d of 3 word\n"):format(rank, rank), output)
      assert.matches(("%%[%d%%] no newline at the end\n"):format(rank), output)
    end
  end)

  it("is one job: a table's sum holds the increments of all processes", function()
    local output, code = run("launch --local 3 " .. script [[
      print((require "epact".run({ workers = 2 }, function(w)
        local t = w:table("t", { rows = 1, cols = 1 })
        t:inc(0, 0, 10 ^ w.id)
        w:barrier()
        return t:cell(0, 0)
      end)))]])
    assert.equal(0, code)
    local _, count = output:gsub("111111\n", "")
    assert.equal(3, count)
  end)

  it("ends with the worst status, and what others did after they were ended does not count", function()
    local output, code = run("launch --local 2 " .. script [[
      os.exit(os.getenv "EPACT_RANK" == "0" and 7 or 3)]])
    assert.equal(7, code, output)
  end)

  it("says which process was killed", function()
    local output, code = run("launch --local 2 " .. script [[
      if os.getenv "EPACT_RANK" == "1" then os.execute "kill -9 $PPID" end]])
    assert.equal(137, code)
    assert.matches("%[1%] ended by signal 9", output)
  end)

  it("gives the others as long as it is told when one has failed", function()
    local text = [[
      if os.getenv "EPACT_RANK" == "1" then os.exit(3) end
      local C = require "epact.core".C
      local begin = C.epact_now()
      while C.epact_now() - begin < 3 do end
      print "went on"]]
    local output, code = run("launch --local 2 --grace inf " .. script(text))
    assert.equal(3, code)
    assert.matches("[0] went on", output, 1, true)
    output, code = run("launch --local 2 --grace 0.2 " .. script(text))
    assert.equal(3, code)
    assert.not_matches("went on", output)
  end)

  it("gives the workers to scripts that do not say how many", function()
    local output, code = run("launch --local 2 --workers 3 " .. script [[
      local pool = require "epact".start {}
      print(tostring(pool))
      pool:close()]])
    assert.equal(0, code, output)
    assert.matches("[1] epact.pool <3 workers,", output, 1, true)
  end)

  it("sets variables, and leaves the words as they are", function()
    local output, code = run("launch --local 1 --env A=\"it's\" --env B= " .. script
      [[print(os.getenv "A", os.getenv "B", arg[1], arg[2])]] .. [[ '$HOME;"' --local]])
    assert.same({ "[0] it's\t\t$HOME;\"\t--local\n", 0 }, { output, code })
  end)

  it("complains in one line about words it does not know", function()
    local missing = "give one of --local N and --hosts FILE|LIST"
    for arguments, said in pairs {
      [""] = "epact: unknown command (none)",
      ["lauch"] = "epact: unknown command lauch, did you mean launch?",
      ["launch"] = "epact launch: " .. missing,
      ["launch --local 2 --hosts a x.lua"] = "epact launch: " .. missing,
      ["launch --local"] = "epact launch: --local needs a value",
      ["launch --local x a.lua"] = 'epact launch: --local must be an integer >= 1, got "x"',
      ["launch --locla 2 a.lua"] = "epact launch: unknown option --locla, did you mean --local?",
      ["launch --local 2"] = "epact launch: a script is missing",
      ["launch --local 2 --port 70000 a.lua"] = "epact launch: --port must be at most 65535, got 70000",
      ["launch --local 2 --env NOT_SET_HERE a.lua"] = "epact launch: --env NOT_SET_HERE: it is not set here",
      ["launch --local 2 --env 1x a.lua"] = 'epact launch: --env must be a name or NAME=value, got "1x"',
      ["launch --hosts n[1 a.lua"] = 'epact launch: hosts: unbalanced brackets in "n[1"',
      ["launch --hosts no/file a.lua"] = "epact launch: hosts: cannot read no/file: No such file or directory",
      ["launch --hosts localhost,n1 a.lua"] = "epact launch: hosts: n1 cannot reach rank 0 on localhost: " ..
        "give the first host the name that the others know",
    } do
      local output, code = run(arguments)
      assert.equal(2, code, output)
      assert.equal(said, output:match "^([^\n]*) %(.-help lists [^\n]*%)\n$", output)
    end
  end)

  it("has a text of help", function()
    local output, code = run "launch --help"
    assert.equal(0, code)
    for _, option in ipairs { "local", "hosts", "workers", "restarts", "port", "ssh", "env" } do
      assert.matches("\n  %-%-" .. option .. " +%w", output)
    end
  end)
end)

describe("epact launch --restarts", function()
  -- What each process does in each start: `deeds[rank][restart]`.
  local function job(deeds, body)
    return script(("local deeds, start = %s, os.getenv 'EPACT_RESTART' or 0\n"
      .. "local deed = deeds[os.getenv 'EPACT_RANK' + 1][start + 1]\n"):format(deeds) .. [[
      local ffi = require "ffi"
      ffi.cdef "int pause(void);"
      if deed == "kill" then os.execute "kill -9 $PPID" end
      if deed == "wait" then ffi.C.pause() end
      if type(deed) == "number" then os.exit(deed) end
      ]] .. (body or ""))
  end

  it("starts all again when one was killed, or asks for it, and the job goes on", function()
    local output, code = run("launch --local 2 --workers 1 --restarts 3 " .. job(
      "{ { 'wait', 75 }, { 'kill', 'wait' } }", [[
      print(os.getenv "EPACT_RESTART", (require "epact".run({}, function(w)
        local t = w:table("t", { rows = 1, cols = 1 })
        t:inc(0, 0, 10 ^ w.id)
        w:barrier()
        return t:cell(0, 0)
      end)))]]))
    assert.equal(0, code, output)
    assert.matches("epact: rank 1 ended by signal 9: starting again from the last snapshot (1 of 3)\n", output, 1,
      true)
    assert.matches("\nepact: rank 0 ended with status 75: starting again from the last snapshot (2 of 3)\n", output, 1,
      true)
    for rank = 0, 1 do assert.matches(("[%d] 2\t11\n"):format(rank), output, 1, true) end
  end)

  it("ends a process that stands still too", function()
    local folder = process.run "mktemp -d":match "%S+"
    finally(function() os.execute("rm -rf " .. folder) end)
    -- Rank 1 stops rank 0, whose number comes through a pipe, sees it stand still, and is killed.
    local output, code = run("launch --local 2 --restarts 1 " .. script [[
      if os.getenv "EPACT_RESTART" == "1" then return end
      local ffi = require "ffi"
      ffi.cdef "int pause(void); int getpid(void);"
      os.execute("mkfifo " .. arg[1] .. " 2>/dev/null")
      local pipe = assert(io.open(arg[1], os.getenv "EPACT_RANK" == "0" and "w" or "r"))
      if os.getenv "EPACT_RANK" == "0" then
        pipe:write(ffi.C.getpid(), "\n")
        pipe:close()
        ffi.C.pause()
      end
      local rank0 = pipe:read "*l"
      os.execute(("kill -STOP %s; until grep -q 'State:.T' /proc/%s/status; do :; done; kill -9 $PPID"):format(rank0,
        rank0))]] .. " " .. folder .. "/pipe")
    assert.equal(0, code, output)
    assert.matches("[0] ended by signal 9", output, 1, true)
  end)

  it("gives up when no start is left", function()
    local output, code = run("launch --local 2 --restarts 1 " .. job "{ { 'wait', 'wait' }, { 'kill', 75 } }")
    assert.equal(75, code, output)
    assert.matches("\nepact: rank 1 ended with status 75, and no start is left of 1\n", output, 1, true)
  end)

  it("is not for a script that fails, nor without the option", function()
    local output, code = run("launch --local 1 --restarts 3 " .. job "{ { 3 } }")
    assert.same({ "", 3 }, { output, code })
    output, code = run("launch --local 1 " .. job "{ { 75 } }")
    assert.same({ "", 75 }, { output, code })
  end)
end)

describe("the end of the launcher", function()
  -- Sends it a signal when its processes have begun; what is left of them ten seconds later is said.
  local function end_by(signal, words)
    local folder = process.run "mktemp -d":match "%S+"
    finally(function() os.execute("rm -rf " .. folder) end)
    local file = assert(io.open(folder .. "/script.lua", "w"))
    file:write [[
      local ffi = require "ffi"
      ffi.cdef "int pause(void); int getpid(void);"
      local ready = assert(io.open(arg[1], "a"))
      ready:write(ffi.C.getpid(), "\n")
      ready:close()
      while true do ffi.C.pause() end]]
    file:close()
    return process.run(([[
      mkfifo %(folder)/ready; exec 3<>%(folder)/ready
      lua/epact/bin/epact launch %(words) %(folder)/script.lua %(folder)/ready 3<&- &
      launcher=$!
      read -r -t 20 -u 3 one; read -r -t 20 -u 3 two
      kill -s %(signal) $launcher
      wait $launcher
      echo "status $?"
      for pid in $one $two; do timeout 10 tail -s .1 --pid=$pid -f /dev/null && echo ended; done]]):gsub("%%%((%w+)%)",
      { folder = folder, signal = signal, words = words }), { paths = true, seconds = 50 })
  end

  it("by Ctrl-C ends the processes, which are not started again", function()
    local output = end_by("INT", "--local 2 --restarts 2")
    assert.matches("status 130\nended\nended\n", output, 1, true)
    assert.is_nil(output:find("starting again", 1, true))
  end)

  it("by kill -9 ends the processes", function()
    assert.matches("status 137\nended\nended\n", end_by("KILL", "--local 2"), 1, true)
  end)
end)
