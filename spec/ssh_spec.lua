--- `epact launch --hosts` over a real sshd.
local process = require "support.process"
local sshd = require "support.sshd"

local quote = process.quote

-- Each process leaves its number in the folder, says that it has begun, and waits for ever.
local endless = [[
  local file = assert(io.open(arg[1] .. "/" .. os.getenv "EPACT_RANK", "w"))
  file:write(assert(io.open "/proc/self/stat"):read "*n")
  file:close()
  local ready = assert(io.open(arg[1] .. "/ready", "a"))
  ready:write "ready\n"
  ready:close()
  local ffi = require "ffi"
  ffi.cdef "int pause(void);"
  while true do ffi.C.pause() end
]]

local sum = [[
  print((require "epact".run({}, function(w)
    local t = w:table("t", { rows = 1, cols = 1 })
    t:inc(0, 0, 10 ^ w.id)
    w:barrier()
    return t:cell(0, 0)
  end)))]]

describe("epact launch --hosts #cluster", function()
  local server, script
  setup(function()
    server = sshd.start()
    script = server.folder .. "/script.lua"
  end)
  teardown(function() if server then server.stop() end end)

  local function write(text)
    local file = assert(io.open(script, "w"))
    file:write(text)
    file:close()
  end

  local function launch(arguments, options)
    options = options or {}
    return process.run(("%s lua/epact/bin/epact launch --ssh %s %s"):format(options.before or "",
      quote(options.ssh or server.ssh), arguments), { paths = true, seconds = 40 })
  end

  it("is one job: a table's sum holds the increments of all processes", function()
    write(sum)
    local output, code = launch("--hosts 127.0.0.1:2,127.0.0.2 --workers 2 " .. script)
    assert.equal(0, code, output)
    for rank = 0, 2 do assert.matches(("[%d] 111111\n"):format(rank), output, 1, true) end
  end)

  it("runs in this folder, with the words and variables as they are", function()
    write [[
      local pipe = io.popen "pwd"
      print(pipe:read "*l", arg[1], arg[2], os.getenv "OMP_PLACES", os.getenv "MINE", os.getenv "NOT_MINE")]]
    local output, code = launch("--hosts 127.0.0.2 --env MINE --env OTHER=x " .. script .. [[ "it's \$HOME; *" '']],
      { before = "export OMP_PLACES='{0}, {1}' MINE='a\"b' NOT_MINE=1; " })
    assert.equal(0, code, output)
    local pipe = io.popen "pwd"
    assert.equal(("[0] %s\tit's $HOME; *\t\t{0}, {1}\ta\"b\tnil\n"):format(pipe:read "*l"), output)
    pipe:close()
  end)

  it("ends with the worst status and says which process was killed on which host", function()
    write [[if os.getenv "EPACT_RANK" == "1" then os.execute "kill -9 $PPID" end]]
    local output, code = launch("--hosts 127.0.0.1,127.0.0.2 --restarts 0 " .. script)
    assert.equal(137, code, output)
    assert.matches("%[1%] ended by signal 9", output)
    write "os.exit(255)"
    output, code = launch("--hosts 127.0.0.1 " .. script)
    assert.same({ "", 254 }, { output, code }) -- 255 is ssh's own
  end)

  it("starts all again when one was killed", function()
    write([[if os.getenv "EPACT_RESTART" == "0" and os.getenv "EPACT_RANK" == "1" then os.execute "kill -9 $PPID" end
      ]] .. sum)
    local output, code = launch("--hosts 127.0.0.1,127.0.0.2 --workers 1 --restarts 2 " .. script)
    assert.equal(0, code, output)
    assert.matches("epact: rank 1 on 127.0.0.2 ended by signal 9: starting again from the last snapshot (1 of 2)\n",
      output, 1, true)
    assert.matches("[0] 11\n", output, 1, true)
  end)

  it("names a host that is not reached, and ends the others at once", function()
    write(endless)
    os.execute(("cd %s; rm -f ready; : >ready"):format(server.folder))
    local output, code = launch("--hosts 127.0.0.1,127.0.0.3 " .. script .. " " .. server.folder)
    assert.equal(255, code, output)
    assert.matches("epact: host 127.0.0.3 (rank 1) was not reached", output, 1, true)
    assert.matches("[1] ssh: connect to host 127.0.0.3", output, 1, true)
  end)

  it("never asks: a key that is refused is an error", function()
    write(sum)
    local output, code = launch("--hosts 127.0.0.1 " .. script, { ssh = server.ssh:gsub("user ", "host ") })
    assert.equal(255, code, output)
    assert.matches("Permission denied", output)
  end)

  -- Starts the endless job, sends the launcher a signal when all have begun, waits until all have ended.
  local function end_by(signal)
    write(endless)
    return process.run(([[
      rm -f %(folder)/ready; mkfifo %(folder)/ready; exec 3<>%(folder)/ready
      lua/epact/bin/epact launch --ssh %(ssh) --hosts 127.0.0.1,127.0.0.2,localhost %(script) %(folder) &
      launcher=$!
      for i in 1 2 3; do read -r -t 20 -u 3 _ || { echo "not begun"; kill $launcher; exit 9; }; done
      kill -s %(signal) $launcher
      wait $launcher
      echo "status $?"
      for i in 0 1 2; do
        timeout 10 tail -s .1 --pid=$(cat %(folder)/$i) -f /dev/null && echo "$i ended"
      done
      rm %(folder)/ready]]):gsub("%%%((%w+)%)", { folder = server.folder, ssh = quote(server.ssh), script = script,
      signal = signal }), { paths = true, seconds = 50 })
  end

  it("ends the processes elsewhere on Ctrl-C", function()
    local output = end_by "INT"
    assert.matches("status 130\n", output, 1, true)
    for rank = 0, 2 do assert.matches(rank .. " ended\n", output, 1, true) end
  end)

  it("ends the processes elsewhere when the launcher is killed", function()
    local output = end_by "KILL"
    assert.matches("status 137\n", output, 1, true)
    for rank = 0, 2 do assert.matches(rank .. " ended\n", output, 1, true) end
  end)
end)
