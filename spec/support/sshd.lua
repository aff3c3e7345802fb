--- A real sshd on a loopback port, with keys of its own in a temporary folder.
local process = require "support.process"

local sshd = {}

local function must(command)
  local output, code = process.run(command, { seconds = 30 })
  if code ~= 0 then error(command .. ": " .. output, 2) end
  return output
end

-- The file with its number appears when it listens.
local start = [[
set -e
for tool in ssh ssh-keygen /usr/sbin/sshd; do command -v $tool >/dev/null || { echo "$tool is missing"; exit 1; }; done
ssh-keygen -q -t ed25519 -N '' -f %(folder)/host
ssh-keygen -q -t ed25519 -N '' -f %(folder)/user
cp %(folder)/user.pub %(folder)/authorized_keys
cat >%(folder)/config <<END
Port %(port)
ListenAddress 127.0.0.1
ListenAddress 127.0.0.2
HostKey %(folder)/host
AuthorizedKeysFile %(folder)/authorized_keys
PidFile %(folder)/pid
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
END
for host in '[127.0.0.1]' '[127.0.0.2]'; do
  echo "$host:%(port) $(cat %(folder)/host.pub)"
done >%(folder)/known_hosts
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd
/usr/sbin/sshd -f %(folder)/config -E %(folder)/log
timeout 10 bash -c 'until [ -s %(folder)/pid ]; do :; done'
]]

--- Starts one. `ssh` of what is returned is the command that reaches 127.0.0.1 and 127.0.0.2 through it; `stop()`
-- ends it and removes its folder.
function sshd.start()
  local folder = must "mktemp -d":match "%S+"
  local port = 30000 + tonumber(must "echo $$") % 2000
  must((start:gsub("%%%((%w+)%)", { folder = folder, port = tostring(port) })))
  return {
    folder = folder, port = port,
    ssh = ("ssh -F none -p %d -i %s/user -o IdentitiesOnly=yes -o UserKnownHostsFile=%s/known_hosts"):format(port,
      folder, folder),
    stop = function()
      process.run(("kill $(cat %s/pid); rm -rf %s"):format(folder, folder))
    end,
  }
end

return sshd
