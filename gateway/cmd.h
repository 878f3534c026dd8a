/* Commands of the gateway program: argv[0] is the command's name; the exit status of the process.
 */
#ifndef GATEWAY_CMD_H
#define GATEWAY_CMD_H

int gw_cmd_serve(int argc, char **argv);
int gw_cmd_report(int argc, char **argv);
int gw_cmd_calibrate(int argc, char **argv);
int gw_cmd_render(int argc, char **argv);
int gw_cmd_parse(int argc, char **argv);
int gw_cmd_pull(int argc, char **argv);
int gw_cmd_key(int argc, char **argv);
int gw_cmd_doctor(int argc, char **argv);

#endif
